"""A case on one rank as something to call: an exchange of random numbers, or this rank's share of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import distributed

from irene.measuring.expert_routing import has_experts, watch_expert_loads
from irene.measuring.operands import make_tensor
from irene.measuring.plan import ModelCase, PrimitiveCase
from irene.measuring.rank_group import RankGroup
from irene.measuring.rank_machine import RankMachine, Run
from irene.measuring.replaying import Replay
from irene.measuring.sharded import build_sharded
from irene.measuring.targets import BuiltModel, Target
from irene.primitives.collectives import exchange_of
from irene.tracing.inputs import build_inputs, check_positions
from irene.tracing.sources import load_config
from irene.tracing.tracer import trace_config

CALLS_IN_A_GRAPH = 20
"""Exchanges that one graph holds (data/README.md): a replay's own launch then hardly counts."""


def prepare_exchange(case: PrimitiveCase, execution: str, machine: RankMachine, group: RankGroup, seed: int) -> Replay:
    """A collective of random numbers, other ones on each rank; captured twenty times, or launched from Python."""
    generator = torch.Generator(device=machine.device).manual_seed(seed + group.rank)
    run = _exchange(case, make_tensor(case.call.tensors[0], machine.device, generator), group.rank)
    if execution != "cuda_graph":
        return Replay(run, 1)
    return Replay(machine.capture(run, CALLS_IN_A_GRAPH), CALLS_IN_A_GRAPH)


def _exchange(case: PrimitiveCase, x: torch.Tensor, rank: int) -> Run:
    """Ranks take the larger of two numbers where a model would add them: sums of sums leave 16 bits within a window."""
    exchange, largest = exchange_of(case.call), distributed.ReduceOp.MAX
    made = x.new_empty(case.call.outputs[0].shape)
    if exchange.name == "send_receive":
        return _pass_on(x, rank, exchange.ranks)
    runs: dict[str, Callable[[], Any]] = {
        "all_reduce": lambda: distributed.all_reduce(x, op=largest),
        "broadcast": lambda: distributed.broadcast(x, 0),
        "all_gather": lambda: distributed.all_gather_into_tensor(made, x),
        "reduce_scatter": lambda: distributed.reduce_scatter_tensor(made, x, op=largest),
        "all_to_all": lambda: distributed.all_to_all_single(made, x),
    }
    return runs[exchange.name]


def _pass_on(x: torch.Tensor, rank: int, ranks: int) -> Run:
    """From every even rank to the next one."""
    if rank % 2:
        return lambda: distributed.recv(x, rank - 1)
    return (lambda: distributed.send(x, rank + 1)) if rank + 1 < ranks else (lambda: None)


def build_share(case: ModelCase, machine: RankMachine, group: RankGroup, seed: int) -> BuiltModel:
    """This rank's share of a case's model."""
    work = case.workload
    config = load_config(case.model)
    module = build_sharded(config, work.task, work.dtype, machine.device, group.size, seed)
    return BuiltModel(case.model, work.dtype, module, module.config)


def prepare_share(built: BuiltModel, case: ModelCase, machine: RankMachine, seed: int) -> Target:
    """A case on this rank; its tree is traced here, and the same inputs are drawn on every rank."""
    check_positions(built.config, case.workload)
    name = str(built.module.main_input_name)
    inputs: dict[str, Any] = build_inputs(built.config, name, case.workload, machine.device, seed)
    tree = trace_config(load_config(case.model), case.workload, case.model)

    def run() -> object:
        return built.module(**inputs)

    loads = watch_expert_loads(run) if has_experts(tree.root) else None
    captured = machine.capture(run, 1) if case.workload.execution == "cuda_graph" else run
    return Target(captured, tree, tree.root.type, loads)


def as_eager(case: ModelCase) -> ModelCase:
    """The same case, launched from Python."""
    return replace(case, workload=replace(case.workload, execution="eager"))
