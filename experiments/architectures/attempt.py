"""One architecture from its default config: trace it, and where that fails, ask transformers itself to run it on the CPU."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Iterator
from typing import Any

import torch

from irene.errors import IreneError
from irene.model_tree.tree import ModelTree, Workload
from irene.primitives.kinds import is_known
from irene.primitives.work import Work, count_work
from irene.tracing.building import build_model
from irene.tracing.inputs import build_inputs
from irene.tracing.tracer import trace_config

BATCH_SIZE, SEQ_LEN = 1, 64
LARGEST_REAL_RUN = 600_000_000  # parameters; float32 on the CPU
_LAYER_COUNTS = (
    "num_hidden_layers", "num_layers", "n_layer", "n_layers", "encoder_layers", "decoder_layers", "num_decoder_layers",
    "num_encoder_layers", "depth", "num_blocks",
)  # fmt: skip


def attempt(model_type: str, task: str) -> dict[str, Any]:
    """One row of the table: what became of this architecture."""
    warnings.simplefilter("ignore")
    row: dict[str, Any] = {"model_type": model_type, "task": task}
    try:
        config = default_config(model_type)
    except Exception as error:  # whatever the library's config class raises without arguments
        return row | {"outcome": "no default", "reason": f"its config cannot be built without arguments: {_line(error)}"}
    start_s = time.perf_counter()
    workload = Workload(BATCH_SIZE, SEQ_LEN, None, "bfloat16", task)
    try:
        tree = trace_config(copy.deepcopy(config), workload, model_type)
    except Exception as error:
        refusal = str(error) if isinstance(error, IreneError) else f"INTERNAL {_line(error)}"
        trace_s = time.perf_counter() - start_s
        fault = fault_of_transformers(config, workload)
        outcome = "refused" if fault is None else "cannot run"
        return row | {"outcome": outcome, "reason": refusal, "proof": fault or "runs on the CPU", "trace_s": trace_s}
    return row | {"outcome": "traced", "trace_s": time.perf_counter() - start_s} | describe(tree)


def default_config(model_type: str) -> Any:
    from transformers import CONFIG_MAPPING

    return CONFIG_MAPPING[model_type]()


def describe(tree: ModelTree) -> dict[str, Any]:
    """Leaves, parameters, and the share of FLOP and bytes in operators that have a kind."""
    total, known, leaves = Work(), Work(), 0
    unknown: set[str] = set()
    for leaf in tree.root.leaves:
        if leaf.call is None:
            continue
        leaves += 1
        work = count_work(leaf.call)
        total += work
        if is_known(leaf.call):
            known += work
        else:
            unknown.add(leaf.call.op)
    return {
        "leaves": leaves, "parameters": tree.root.parameters, "flop": total.flop, "traffic_bytes": total.traffic_bytes,
        "known_flop_share": known.flop / max(total.flop, 1),
        "known_bytes_share": known.traffic_bytes / max(total.traffic_bytes, 1), "unknown_ops": " ".join(sorted(unknown)),
    }  # fmt: skip


def fault_of_transformers(config: Any, workload: Workload) -> str | None:
    """Why transformers cannot build or run this default config on the CPU either; None if it can.

    The model as it is where it is small; else with two layers. The inputs are those of the trace.
    """
    try:
        model = build_model(copy.deepcopy(config), workload.task, torch.float32, "meta")
    except Exception as error:
        return f"transformers cannot build it: {error if isinstance(error, IreneError) else _line(error)}"
    how = "its default config"
    if count_parameters(model) > LARGEST_REAL_RUN:
        how = "its default config with two layers"
        config = copy.deepcopy(config)
        shorten(config)
        try:
            size = count_parameters(build_model(copy.deepcopy(config), workload.task, torch.float32, "meta"))
        except Exception as error:
            return f"transformers cannot build {how}: {_line(error)}"
        if size > 4 * LARGEST_REAL_RUN:
            return f"not shown: {size / 1e9:.1f} G parameters with two layers"
    try:
        model = build_model(copy.deepcopy(config), workload.task, torch.float32, "cpu")
        device, real = torch.device("cpu"), Workload(BATCH_SIZE, SEQ_LEN, None, "float32", workload.task)
        inputs = build_inputs(model.config, model.main_input_name, real, device)
        with torch.inference_mode():
            model(**inputs)
    except Exception as error:
        return f"transformers cannot run {how} on the CPU: {_line(error)}"
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
