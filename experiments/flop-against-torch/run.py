"""FLOP of every bundled model against torch's own counter over the same forward pass.

    python experiments/flop-against-torch/run.py [--output FOLDER] [--only NAME]

`torch.utils.flop_counter.FlopCounterMode` counts a forward pass of the model on meta tensors, without irene. Where the
model reads values, which a meta tensor has not, irene answers those reads and nothing else. Writes `flop.csv`.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from irene.errors import BadInput
from irene.model_tree.tree import ModelTree
from irene.model_tree.workload import Workload
from irene.primitives.kinds import MATMUL_KINDS, kind_of
from irene.primitives.work import count_work
from irene.tracing import dispatch
from irene.tracing.building import build_model
from irene.tracing.bundled_models import BundledModel, list_bundled
from irene.tracing.inputs import build_inputs, parameters_of
from irene.tracing.recorder import Recorder
from irene.tracing.recording import record_call
from irene.tracing.tracer import trace_config

HERE = Path(__file__).parent
# Operators that the counter has no rule for: what they add is printed in its own column.
UNCOUNTED = ("_grouped_mm",)
# The first that a model takes: FNet has no kernel in bfloat16, and Nystromformer takes 1,024 tokens alone.
WORKLOADS = (
    Workload(batch_size=1, seq_len=64, dtype="bfloat16"),
    Workload(batch_size=1, seq_len=64, dtype="float32"),
    Workload(batch_size=1, seq_len=1024, dtype="float32"),
)


def compare(model: BundledModel) -> dict[str, Any]:
    """Both counts, and what lies in operators that torch's counter does not know."""
    config = model.build_config()
    tree, workload = trace_first(model)
    calls = [leaf.call for leaf in tree.root.leaves if leaf.call is not None]
    ours = sum(count_work(call).matmul_flop for call in calls if kind_of(call) in MATMUL_KINDS)
    uncounted = sum(count_work(call).matmul_flop for call in calls if call.name in UNCOUNTED)
    try:
        alone, theirs = True, count(config, workload, lambda module, inputs: module(**inputs))
    except Exception:  # it reads values
        alone, theirs = False, count(config, workload, run_with_values)
    return {
        "model": model.name, "model_type": model.model_type, "values_from_irene": int(not alone), "irene_flop": ours,
        "torch_flop": theirs, "uncounted_by_torch_flop": uncounted, "difference": ours - uncounted - theirs,
    }  # fmt: skip


def trace_first(model: BundledModel) -> tuple[ModelTree, Workload]:
    """The tree at the first of WORKLOADS that the model takes. Raises BadInput if it takes none."""
    for workload in WORKLOADS:
        try:
            return trace_config(model.build_config(), workload, model.name), workload
        except BadInput as error:
            refused = error
    raise refused


def count(config: Any, workload: Workload, run: Callable[[torch.nn.Module, dict[str, torch.Tensor]], Any]) -> int:
    """FLOP by torch's counter on meta tensors: attention by its plain products, which the counter knows."""
    module = build_model(config, workload.task, getattr(torch, workload.dtype), "meta").requires_grad_(False)
    meta, takes = torch.device("meta"), parameters_of(module)
    inputs = build_inputs(module.config, module.main_input_name, workload, meta, takes=takes)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        run(module, inputs)
    return int(counter.get_total_flops())


def run_with_values(module: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> None:
    """A recording that answers reads of values: every call and attention's products are torch's own, which counts."""
    with (
        mock.patch.object(Recorder, "known_answer", lambda *_: None),
        mock.patch.object(dispatch, "quick_output", lambda *_: None),
        mock.patch.dict(dispatch._SUBSTITUTES),
    ):
        dispatch._SUBSTITUTES.pop("aten.scaled_dot_product_attention.default")
        record_call(module, (), inputs)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--only", action="append", help="one model; may be given several times")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    start_s = time.perf_counter()
    rows = []
    for model in list_bundled():
        if not arguments.only or model.name in arguments.only:
            rows.append(compare(model))
            if rows[-1]["difference"]:
                print(rows[-1], file=sys.stderr, flush=True)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with open(arguments.output / "flop.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    equal = sum(row["difference"] == 0 for row in rows)
    missed = sum(row["uncounted_by_torch_flop"] > 0 for row in rows)
    print(f"{equal} of {len(rows)} models equal; in {missed} of them torch's counter misses grouped products;")
    helped = sum(row["values_from_irene"] for row in rows)
    print(f"{helped} read values, which irene answered; {time.perf_counter() - start_s:.0f} s")
    if equal < len(rows):
        sys.exit(1)


if __name__ == "__main__":
    main()
