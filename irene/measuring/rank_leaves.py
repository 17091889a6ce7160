"""Do the leaves of a sharded model equal what a rank runs? The profiler's outermost operators beside the traced ones.

On a rank some operators are wrapped: DTensor's around an embedding and a gathered head, and torch's functional
collectives. What stands inside is compared. Operators that launch nothing by their names are left out on both sides.
"""

from __future__ import annotations

import difflib
import json
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from irene.model_tree.tree import ModelTree
from irene.primitives.call import Call, TensorSpec
from irene.primitives.kinds import kind_of, packet_of

# Around others: the functional all-reduce is a copy and the collective itself.
_TRANSPARENT = ("_c10d_functional::all_reduce",)
_DROPPED = ("_c10d_functional::wait_tensor", "_c10d_functional::_wrap_tensor_autograd", "record_param_comms")
_COLLECTIVES = {
    "c10d::allreduce_": "all_reduce", "_c10d_functional::all_gather_into_tensor": "all_gather",
    "c10d::_allgather_base_": "all_gather", "_c10d_functional::reduce_scatter_tensor": "reduce_scatter",
}  # fmt: skip
_NO_COPY = (
    "contiguous"  # of what lies so already it is not seen by the profiler, and how attention lies is the GPU's own
)
_WRAPPER = "PythonSubclass"  # stands inside an operator that a tensor subclass took apart


def traced_ops(tree: ModelTree) -> list[str]:
    """The leaves that may launch something, in order: operator and shapes."""
    calls = [leaf.call for leaf in tree.root.leaves if leaf.call is not None]
    return [_describe(packet_of(call).partition(".")[2], _shapes_of(call)) for call in calls if not _is_silent(call.op)]


def profiled_ops(run: Callable[[], object], device: torch.device) -> list[str]:
    """The same of one call of `run` on this rank, as the profiler sees it; every rank must call this at once."""
    from torch.profiler import ProfilerActivity, profile

    with torch.inference_mode():
        run()
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_bytes())["traceEvents"]
    return list(read_ops(events))


def read_ops(events: Iterable[dict[str, Any]]) -> Iterator[str]:
    """The outermost operators of a Chrome trace, those inside of wrappers in their place.

    >>> def op(name, start, length, *shapes):
    ...     return {"ph": "X", "cat": "cpu_op", "name": name, "tid": 1, "ts": start, "dur": length,
    ...             "args": {"Input Dims": list(shapes)}}
    >>> inside = [op("aten::clone", 1, 2, [4]), op("c10d::allreduce_", 4, 2)]
    >>> list(read_ops([op("_c10d_functional::all_reduce", 0, 9, [4]), *inside, op("aten::view", 12, 1, [4])]))
    ['clone [[4]]', 'all_reduce []']
    """
    ops = [event for event in events if event.get("ph") == "X" and event.get("cat") == "cpu_op"]
    threads = [event["tid"] for event in ops if event["name"].startswith("aten::")]
    main = max(set(threads), key=threads.count) if threads else None
    ops = sorted((event for event in ops if event["tid"] == main), key=lambda event: (event["ts"], -event["dur"]))
    starts = [event["ts"] for event in ops if event["name"] == _WRAPPER]
    end = -1.0
    for event in ops:
        name, start, stop = event["name"], event["ts"], event["ts"] + event["dur"]
        is_wrapped = any(start <= at <= stop for at in starts)
        if start < end or "::" not in name or name in _TRANSPARENT or is_wrapped:
            continue
        end = stop
        if name in _DROPPED:
            continue
        plain = _COLLECTIVES.get(name) or (name.split("::")[1].rstrip("_") if name.startswith("collective::") else None)
        if plain is not None:
            yield _describe(plain, [])
        elif not _is_silent(name.replace("::", ".")):
            bare = name.split("::")[1]
            bare = bare[:-1] if bare.endswith("_") and not bare.endswith("__") else bare
            yield _describe(bare, event.get("args", {}).get("Input Dims", []))


def differences(traced: list[str], profiled: list[str]) -> list[str]:
    """Lines of a unified diff, - traced, + profiled; empty where the leaves are what a rank runs."""
    diff = difflib.unified_diff(traced, profiled, lineterm="", n=0)
    return [line for line in diff if not line.startswith(("---", "+++", "@@"))]


def _is_silent(op: str) -> bool:
    return kind_of(Call(op, ())) == "view" or op.split(".")[1] == _NO_COPY


def _shapes_of(call: Call) -> list[Any]:
    if kind_of(call) == "collective":
        return []
    values = (*call.args, *(value for _, value in call.kwargs))
    return [list(value.shape) if isinstance(value, TensorSpec) else [] for value in values]


def _describe(name: str, shapes: list[Any]) -> str:
    plain = [[] if any(isinstance(size, list) for size in shape) else shape for shape in shapes]
    return f"{name} {json.dumps([shape for shape in plain if shape])}"
