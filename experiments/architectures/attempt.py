"""One architecture from its default config: trace it, and where that fails, ask transformers itself to run it."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

import irene
from irene.errors import IreneError
from irene.model_tree.tree import ModelTree
from irene.model_tree.workload import Workload
from irene.primitives.kinds import is_known
from irene.primitives.work import Work, count_work
from irene.tracing.building import build_model
from irene.tracing.inputs import build_inputs, parameters_of, torch_dtype
from irene.tracing.tracer import trace_config

BATCH_SIZE, SEQ_LEN = 1, 64
LARGEST_REAL_RUN = 300_000_000  # parameters of a default config that is run on the CPU as it is
LARGEST_SHORTENED_RUN = 1_500_000_000  # and of one with two layers
_LAYER_COUNTS = (
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers", "num_decoder_layers",
    "num_encoder_layers", "depth", "num_blocks",
)  # fmt: skip


def attempt(model_type: str, task: str) -> dict[str, Any]:
    """One row of the table: in bfloat16, or in float32 where transformers itself cannot run it in bfloat16."""
    warnings.simplefilter("ignore")
    row: dict[str, Any] = {"model_type": model_type, "task": task, "dtype": "bfloat16"}
    try:
        config = default_config(model_type)
    except Exception as error:  # whatever the library's config class raises without arguments
        return row | {"outcome": "no default", "reason": f"no config without arguments: {_line(error)}"}
    first = row | _attempt(
        config, Workload(batch_size=BATCH_SIZE, seq_len=SEQ_LEN, dtype="bfloat16", task=task), model_type
    )
    if first["outcome"] != "cannot run":
        return first
    second = row | _attempt(
        config, Workload(batch_size=BATCH_SIZE, seq_len=SEQ_LEN, dtype="float32", task=task), model_type
    )
    return second | {"dtype": "float32", "proof": first["proof"]} if second["outcome"] == "traced" else first


def _attempt(config: Any, workload: Workload, name: str) -> dict[str, Any]:
    start_s = time.perf_counter()
    try:
        tree = trace_config(copy.deepcopy(config), workload, name)
        if tree.left_out:  # towers that no text reaches: the text alone, which a note says
            tree = trace_config(copy.deepcopy(config), replace(workload, images=0), name)
    except Exception as error:
        refusal = str(error) if isinstance(error, IreneError) else f"INTERNAL {_line(error)}"
        trace_s = time.perf_counter() - start_s
        outcome, proof = judge(config, workload)
        return {"outcome": outcome, "reason": refusal, "proof": proof, "trace_s": trace_s}
    trace_s = time.perf_counter() - start_s
    return {"outcome": "traced", "trace_s": trace_s, "notes": " ".join(tree.notes)} | describe(tree)


def default_config(model_type: str) -> Any:
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING[model_type]()


def describe(tree: ModelTree) -> dict[str, Any]:
    """Leaves, parameters; shares of FLOP and bytes by provenance, and in operators that have a kind."""
    total, known = Work(), Work()
    unknown: set[str] = set()
    by_provenance: dict[str, Work] = {}
    prediction = irene.predict(tree)
    leaves = 0
    for leaf, provenance in zip(prediction.flat.nodes, prediction.values.provenance, strict=True):
        if leaf.call is None:
            continue
        leaves += 1
        work = count_work(leaf.call)
        total += work
        by_provenance[provenance] = by_provenance.get(provenance, Work()) + work
        if is_known(leaf.call):
            known += work
        else:
            unknown.add(leaf.call.op)
    shares = {
        f"{name}_{what}_share": getattr(work, count) / max(getattr(total, count), 1)
        for name, work in by_provenance.items()
        for what, count in (("flop", "flop"), ("bytes", "traffic_bytes"))
    }
    return shares | {
        "leaves": leaves, "parameters": tree.root.parameters, "flop": total.flop, "traffic_bytes": total.traffic_bytes,
        "known_flop_share": known.flop / max(total.flop, 1),
        "known_bytes_share": known.traffic_bytes / max(total.traffic_bytes, 1),
        "unknown_ops": " ".join(sorted(unknown)),
    }  # fmt: skip


def judge(config: Any, workload: Workload) -> tuple[str, str]:
    """(outcome, proof) of a refused config: what transformers itself does with it and the same inputs, on the CPU.

    'cannot build', 'cannot run', or 'refused' where it runs, or where that could not be shown. The model runs as it is
    where it is small, else with two layers, and if those are too large on meta tensors without any recording.
    """
    task, dtype = workload.task, torch_dtype(workload.dtype)
    try:
        size = count_parameters(build_model(copy.deepcopy(config), task, dtype, "meta"))
    except Exception as error:
        return "cannot build", str(error) if isinstance(error, IreneError) else _line(error)
    how, place = "the default config", "cpu"
    if size > LARGEST_REAL_RUN:
        how, config = "the default config with two layers", copy.deepcopy(config)
        shorten(config)
        try:
            size = count_parameters(build_model(copy.deepcopy(config), task, dtype, "meta"))
        except Exception as error:
            return "refused", f"with two layers transformers cannot build it: {_line(error)}"
        place = "cpu" if size <= LARGEST_SHORTENED_RUN else "meta"
    fault = run(config, replace(workload, dtype="float32"), place)
    if fault is None and place == "cpu" and size <= LARGEST_REAL_RUN and workload.dtype != "float32":
        fault = run(config, workload, place)  # products in bfloat16 are slow on a CPU: small models alone
        how += f" in {workload.dtype}"
    if fault is None:
        return "refused", f"{how} runs on {place}"
    says_nothing = isinstance(fault, IreneError) or (isinstance(fault, NotImplementedError) and place == "meta")
    return ("refused" if says_nothing else "cannot run"), f"{how} on {place}: {_line(fault)}"


def run(config: Any, workload: Workload, place: str) -> Exception | None:
    """What transformers raises when it builds the model and runs it on a device; None if nothing."""
    try:
        model = build_model(copy.deepcopy(config), workload.task, torch_dtype(workload.dtype), place)
        device, takes = torch.device(place), parameters_of(model)
        inputs = build_inputs(model.config, model.main_input_name, workload, device, takes=takes)
        with torch.inference_mode():
            model(**inputs)
    except Exception as error:
        return error
    return None


def count_parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def shorten(config: Any) -> None:
    """Two layers wherever a config or one inside it counts them."""
    for part in _configs(config):
        for name in _LAYER_COUNTS:
            if isinstance(getattr(part, name, None), int):
                setattr(part, name, min(getattr(part, name), 2))


def _configs(config: Any) -> Iterator[Any]:
    yield config
    for value in vars(config).values():
        if hasattr(value, "model_type") and hasattr(value, "to_dict"):
            yield from _configs(value)


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"
