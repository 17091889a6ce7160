"""One forward pass under `torch.profiler` -> its outermost operators in order, each with the GPU work that it launched.

Read from the exported trace, where host and device events carry correlation numbers: a kernel belongs to the runtime
call (`cudaLaunchKernel` ...) of the same number, and that to the outermost operator open on its thread at that time.
"""

from __future__ import annotations

import bisect
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

_DEVICE_WORK = {"kernel", "gpu_memcpy", "gpu_memset"}
# Fused operators over ordinary ones: what they call is compared in their place, as the trace writes them out.
_TRANSPARENT = {"aten::_transformer_encoder_layer_fwd", "aten::_native_multi_head_attention"}
_RUNTIME = {"cuda_runtime", "cuda_driver"}


@dataclass
class ProfiledOp:
    """An outermost operator: its name, the shapes of its arguments, and the names of the GPU work that it launched."""

    name: str
    shapes: list[Any]
    start_us: float
    end_us: float
    kernels: list[str] = field(default_factory=list)


def profile_call(call: Callable[[], Any], device: torch.device) -> tuple[list[ProfiledOp], list[str]]:
    """The outermost operators of one call (after some to warm up), and the names of kernels that none of them owns."""
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with torch.inference_mode():
        for _ in range(3):  # scripted functions are optimised in their third call
            call()
        with profile(activities=activities):  # the first use of the profiler loses events
            torch.ones(8, device=device).sum()
        _synchronise(device)
        with profile(activities=activities, record_shapes=True) as profiler:
            call()
            _synchronise(device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(path))
        events = json.loads(path.read_text(encoding="utf-8"))["traceEvents"]
    return read_events([event for event in events if event.get("ph") == "X"])


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def read_events(events: list[dict[str, Any]]) -> tuple[list[ProfiledOp], list[str]]:
    """Outermost operators with their kernels, and kernels without an owner, from the events of an exported trace.

    >>> op = {"cat": "cpu_op", "name": "aten::relu", "tid": 1, "ts": 10, "dur": 5, "args": {"Input Dims": [[4]]}}
    >>> launch = {"cat": "cuda_runtime", "name": "cudaLaunchKernel", "tid": 1, "ts": 12, "args": {"correlation": 7}}
    >>> kernel = {"cat": "kernel", "name": "relu_kernel", "tid": 7, "ts": 99, "args": {"correlation": 7}}
    >>> ops, orphans = read_events([op, launch, kernel])
    >>> (ops[0].name, ops[0].shapes, ops[0].kernels), orphans
    (('relu', [[4]], ['relu_kernel']), [])
    """
    by_thread: dict[Any, list[ProfiledOp]] = {}
    # Without a namespace it is no operator: a scripted function, an autograd function. What they call is.
    host = [e for e in events if e.get("cat") == "cpu_op" and "::" in e["name"] and e["name"] not in _TRANSPARENT]
    host.sort(key=lambda e: (e["ts"], -e["dur"]))
    for event in host:
        ops = by_thread.setdefault(event["tid"], [])
        if ops and event["ts"] < ops[-1].end_us:  # inside another one
            continue
        name = event["name"].split("::")[-1]
        ops.append(ProfiledOp(name, event["args"].get("Input Dims", []), event["ts"], event["ts"] + event["dur"]))
    launches = {event["args"]["correlation"]: event for event in events if event.get("cat") in _RUNTIME}
    orphans: list[str] = []
    for event in sorted((e for e in events if e.get("cat") in _DEVICE_WORK), key=lambda e: e["ts"]):
        launch = launches.get(event["args"].get("correlation"))
        owner = None if launch is None else _open_at(by_thread.get(launch["tid"], []), launch["ts"])
        if owner is None:
            orphans.append(event["name"])
        else:
            owner.kernels.append(event["name"])
    ops = [op for thread in by_thread.values() for op in thread]
    return sorted(ops, key=lambda op: op.start_us), orphans


def _open_at(ops: list[ProfiledOp], time_us: float) -> ProfiledOp | None:
    index = bisect.bisect_right([op.start_us for op in ops], time_us) - 1
    return ops[index] if index >= 0 and time_us <= ops[index].end_us else None
