"""Do the traced leaves equal what PyTorch runs on the GPU? Trace and profile in one environment, compare op by op.

    python experiments/leaves-against-profiler/compare.py [--device cuda] [--output FILE]

Writes one JSON object: versions, and per model the number of leaves and outermost aten ops, how many agree in op,
order and shapes, and every difference.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from irene.model_tree.tree import Workload
from irene.primitives.call import Call, TensorSpec
from irene.tracing.building import build_model
from irene.tracing.inputs import build_inputs
from irene.tracing.sources import load_config
from irene.tracing.tracer import trace_config

CASES = (
    ("bert-base-uncased", 8, 128, "bfloat16"),
    ("gpt2", 8, 128, "bfloat16"),
    ("meta-llama/Llama-3.1-8B", 1, 512, "bfloat16"),
)


def traced_ops(config: Any, workload: Workload, name: str) -> list[tuple[str, Any]]:
    """(op, shapes of the tensor operands) of every leaf, in order."""
    tree = trace_config(config, workload, name)
    return [(leaf.call.name, shapes_of(leaf.call)) for leaf in tree.root.leaves if leaf.call is not None]


def shapes_of(call: Call) -> list[Any]:
    """As the profiler writes them: a list per argument, [] for what is no tensor (it leaves lists of tensors out)."""
    shapes: list[Any] = []
    for value in (*call.args, *(v for _, v in call.kwargs)):
        if isinstance(value, TensorSpec):
            shapes.append(list(value.shape))
        else:
            shapes.append([])
    return trim(shapes)


def profiled_ops(config: Any, workload: Workload, device: torch.device) -> list[tuple[str, Any]]:
    """(op, input shapes) of every outermost aten event of one forward pass, in order."""
    dtype = getattr(torch, workload.dtype)
    model = build_model(config, workload.task, dtype, str(device))
    inputs = build_inputs(model.config, model.main_input_name, workload, device)
    with torch.inference_mode():
        model(**inputs)
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
            model(**inputs)
    events = [event for event in profiler.events() if event.cpu_parent is None and "::" in event.name]
    events.sort(key=lambda event: event.time_range.start)
    return [(event.name.split("::")[1], trim(event.input_shapes)) for event in events]


def trim(shapes: list[Any]) -> list[Any]:
    while shapes and shapes[-1] == []:
        shapes = shapes[:-1]
    return shapes


def compare(name: str, batch_size: int, seq_len: int, dtype: str, device: torch.device) -> dict[str, Any]:
    workload = Workload(batch_size, seq_len, None, dtype)
    config = load_config(name)
    traced = traced_ops(config, workload, name)
    profiled = profiled_ops(config, workload, device)
    left, right = ([f"{op} {json.dumps(shapes)}" for op, shapes in ops] for ops in (traced, profiled))
    differences = [
        line
        for line in difflib.unified_diff(left, right, lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]
    return {
        "model": name, "batch_size": batch_size, "seq_len": seq_len, "dtype": dtype,
        "traced": len(left), "profiled": len(right),
        "same_ops_in_order": [op for op, _ in traced] == [op for op, _ in profiled],
        "same_with_shapes": left == right,
        "differences": differences[:60],
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--output")
    parser.add_argument("--only", help="one model")
    arguments = parser.parse_args()
    import transformers

    device = torch.device(arguments.device)
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    results = [compare(*case, device) for case in CASES if arguments.only in (None, case[0])]
    report = {"gpu": gpu, "torch": torch.__version__, "transformers": transformers.__version__, "models": results}
    text = json.dumps(report, indent=1)
    if arguments.output:
        with open(arguments.output, "w", encoding="utf-8") as file:
            file.write(text + "\n")
    for result in results:
        print(
            {key: value for key, value in result.items() if key != "differences"},
            result["differences"][:12],
            file=sys.stderr,
        )


if __name__ == "__main__":
    main()
