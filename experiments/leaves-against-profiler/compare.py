"""Do the traced leaves equal what PyTorch runs on the GPU? Trace and profile in one environment, compare op by op.

    python experiments/leaves-against-profiler/compare.py [--device cuda] [--output FOLDER] [--only NAME]

Writes `comparison.json`: versions, and per model the number of leaves and outermost aten ops, whether they agree in
op, order and shapes, every difference, how many CUDA kernels each op launched, kernels that no op owns, and leaves
that are said to launch something and launched nothing (or the other way round). A model that fails keeps its error.
"""

from __future__ import annotations

import argparse
import difflib
import json
import sys
import time
import traceback
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from cases import CASES, Case
from profiling import ProfiledOp, profile_call

from irene.model_tree.tree import ModelTree
from irene.primitives.attention import attention_backend
from irene.primitives.call import Call, TensorSpec
from irene.primitives.kinds import kind_of, launches_kernel


def traced_calls(tree: ModelTree) -> list[Call]:
    """Every leaf's call, in order."""
    return [leaf.call for leaf in tree.root.leaves if leaf.call is not None]


def shapes_of(call: Call) -> list[Any]:
    """As the profiler writes them: a list per argument, [] for what is no tensor."""
    shapes: list[Any] = []
    for value in (*call.args, *(v for _, v in call.kwargs)):
        shapes.append(list(value.shape) if isinstance(value, TensorSpec) else [])
    return trim(shapes)


def trim(shapes: list[Any]) -> list[Any]:
    """Without what says nothing: lists of tensors, which one profiler leaves out and another nests, and the end."""
    shapes = [[] if any(isinstance(size, list) for size in shape) else shape for shape in shapes]
    while shapes and shapes[-1] == []:
        shapes = shapes[:-1]
    return shapes


def compare_ops(traced: list[Call], profiled: list[ProfiledOp]) -> dict[str, Any]:
    """Names, order and shapes; `differences` is a unified diff, - traced, + profiled."""
    left = [f"{call.name} {json.dumps(shapes_of(call))}" for call in traced]
    right = [f"{op.name} {json.dumps(trim(op.shapes))}" for op in profiled]
    diff = difflib.unified_diff(left, right, lineterm="", n=1)
    return {
        "traced": len(left), "profiled": len(right),
        "same_ops_in_order": [call.name for call in traced] == [op.name for op in profiled],
        "same_with_shapes": left == right,
        "differences": [line for line in diff if not line.startswith(("---", "+++"))][:80],
    }  # fmt: skip


def compare_kernels(traced: list[Call], profiled: list[ProfiledOp], orphans: list[str]) -> dict[str, Any]:
    """Who launched what. Leaves and ops are matched one to one where both lists have the same names in order."""
    per_op: dict[str, Counter[int]] = {}
    names: dict[str, Counter[str]] = {}
    for op in profiled:
        per_op.setdefault(op.name, Counter())[len(op.kernels)] += 1
        names.setdefault(op.name, Counter()).update(kernel[:90] for kernel in op.kernels)
    report = {
        "kernels": sum(len(op.kernels) for op in profiled) + len(orphans),
        "orphans": dict(Counter(orphans)),
        "kernels_per_call": {op: {str(n): counts[n] for n in sorted(counts)} for op, counts in per_op.items()},
        "kernel_names": {op: dict(counter.most_common(4)) for op, counter in names.items() if counter},
    }  # fmt: skip
    if [call.name for call in traced] != [op.name for op in profiled]:
        return report
    silent, loud, attention = Counter[str](), Counter[str](), Counter[str]()
    for call, op in zip(traced, profiled, strict=True):
        if launches_kernel(call) and not op.kernels:
            silent[_describe(call)] += 1
        if not launches_kernel(call) and op.kernels:
            loud[_describe(call)] += 1
        if kind_of(call) == "attention":
            attention[f"{attention_backend(call)}: {', '.join(name[:90] for name in op.kernels)}"] += 1
    return report | {
        "said_to_launch_but_silent": dict(silent), "said_silent_but_launches": dict(loud), "attention": dict(attention),
    }  # fmt: skip


def _describe(call: Call) -> str:
    given = [f"{list(t.shape)}{list(t.stride)}{t.dtype}" for t in call.tensors]
    made = [f"{list(t.shape)}{t.dtype}" for t in call.outputs]
    return f"{call.op}({', '.join(given)}) -> {', '.join(made)}"[:300]


def compare(case: Case, device: torch.device) -> dict[str, Any]:
    start_s = time.perf_counter()
    about = {
        "model": case.name, "kind": case.kind, "batch_size": case.batch_size, "seq_len": case.seq_len,
        "dtype": case.dtype, "changes": case.changes,
    }  # fmt: skip
    try:
        traced = traced_calls(case.trace())
        traced_s = time.perf_counter() - start_s
        profiled, orphans = profile_call(case.build(device), device)
        report = compare_ops(traced, profiled) | compare_kernels(traced, profiled, orphans)
    except Exception as error:  # one model's failure must not hide the others
        lines = traceback.format_exc().splitlines()[-6:]
        return about | {"error": f"{type(error).__name__}: {error}"[:500], "traceback": lines}
    finally:
        if device.type == "cuda":
            torch.cuda.empty_cache()
    return about | report | {"trace_s": round(traced_s, 2), "total_s": round(time.perf_counter() - start_s, 2)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--output", type=Path, help="folder for comparison.json")
    parser.add_argument("--only", action="append", help="one model; may be given several times")
    parser.add_argument("--dtype", help="in place of each case's own (bfloat16 is slow on a CPU)")
    parser.add_argument("--table", action="store_true", help="print comparison.json as a table, compare nothing")
    arguments = parser.parse_args()
    if arguments.table:
        print(tabulate(json.loads((Path(__file__).parent / "comparison.json").read_text(encoding="utf-8"))["models"]))
        return
    import transformers

    device = torch.device(arguments.device)
    torch.manual_seed(0)
    cases = [case for case in CASES if not arguments.only or case.name in arguments.only]
    if arguments.dtype:
        cases = [replace(case, dtype=arguments.dtype) for case in cases]
    report: dict[str, Any] = {
        "gpu": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__, "transformers": transformers.__version__, "models": [],
    }  # fmt: skip
    for case in cases:
        result = compare(case, device)
        report["models"].append(result)
        print(summarise(result), file=sys.stderr, flush=True)
        if arguments.output:  # after each model, so that an interrupted run keeps what it has
            arguments.output.mkdir(parents=True, exist_ok=True)
            (arguments.output / "comparison.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def tabulate(models: list[dict[str, Any]]) -> str:
    """The README's table."""
    head = (
        "model", "kind", "batch x tokens", "dtype", "leaves", "profiled", "same operators in order", "same shapes",
        "kernels", "without owner",
    )  # fmt: skip
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for m in models:
        ops, shapes = ("yes" if m[key] else "no" for key in ("same_ops_in_order", "same_with_shapes"))
        size, counts = f"{m['batch_size']} x {m['seq_len']}", [f"{m[key]:,}" for key in ("traced", "profiled")]
        cells = (m["model"], m["kind"], size, m["dtype"], *counts, ops, shapes, f"{m['kernels']:,}")
        lines.append(f"| {' | '.join(cells)} | {sum(m['orphans'].values())} |")
    return "\n".join(lines)


def summarise(result: dict[str, Any]) -> str:
    if "error" in result:
        return f"{result['model']}: FAILED {result['error']}"
    silent = sum(result.get("said_to_launch_but_silent", {}).values())
    loud = sum(result.get("said_silent_but_launches", {}).values())
    return (
        f"{result['model']}: {result['traced']} leaves, {result['profiled']} ops, "
        f"ops {'same' if result['same_ops_in_order'] else 'DIFFER'}, "
        f"shapes {'same' if result['same_with_shapes'] else 'DIFFER'}, {result['kernels']} kernels, "
        f"{sum(result['orphans'].values())} without owner, {silent} silent, {loud} loud, {result['total_s']} s"
    )


if __name__ == "__main__":
    main()
