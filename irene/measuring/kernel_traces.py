"""Which GPU kernels calls launch, and how long each takes, as the profiler sees it: calls told apart by a marker.

A profiled call costs about a millisecond, some thirty times less than a timing in a burst, and is less exact for it.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

# torch.cuda._sleep launches it, and no operator does: it spins for as many cycles as it is told, which tells the clock.
_MARKER, _MARKER_CYCLES = "spin_kernel", 100_000


@dataclass(frozen=True, slots=True)
class Kernel:
    """One launch: its name, its blocks and their threads, and the seconds that it ran."""

    name: str
    blocks: int
    threads: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class ProfiledCall:
    """What one call launched, in order, and the clock of the streaming multiprocessors right afterwards."""

    kernels: tuple[Kernel, ...]
    sm_clock_hz: float


def profile_calls(runs: Sequence[Callable[[], object]], device: torch.device) -> list[ProfiledCall]:
    """What each of `runs` launches, one after the other under the profiler; needs a GPU.

    A run that raises RuntimeError has what it launched before. Raises ValueError if launches were lost.
    """
    from torch.profiler import ProfilerActivity, profile

    with torch.inference_mode(), profile(activities=[ProfilerActivity.CUDA]) as profiler:
        for run in runs:
            torch.cuda._sleep(_MARKER_CYCLES)
            try:
                run()
            except torch.cuda.OutOfMemoryError:
                torch.cuda.empty_cache()
            except RuntimeError:  # the library has no kernel for it, say
                continue
        torch.cuda._sleep(_MARKER_CYCLES)
        torch.cuda.synchronize(device)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        profiler.export_chrome_trace(str(path))
        calls = split_calls(json.loads(path.read_bytes())["traceEvents"])
    if len(calls) != len(runs):
        raise ValueError(f"The profiler saw {len(calls)} of {len(runs)} calls.")
    return calls


def split_calls(events: Iterable[dict[str, Any]]) -> list[ProfiledCall]:
    """The calls between markers, from the events of a Chrome trace in any order; a marker stands at either end.

    >>> def event(name, start_us, duration_us):
    ...     shape = {"grid": [3, 2, 1], "block": [64, 1, 1]}
    ...     return {"cat": "kernel", "name": name, "ts": start_us, "dur": duration_us, "args": shape}
    >>> events = [event("gemm", 60, 9.0), event("spin_kernel", 80, 51.0), event("spin_kernel", 1, 50.0)]
    >>> [call] = split_calls(events)
    >>> call.kernels[0].blocks, round(call.sm_clock_hz / 1e9, 2)
    (6, 1.96)
    """
    calls: list[ProfiledCall] = []
    launched: list[Kernel] | None = None
    for event in sorted((e for e in events if e.get("cat") == "kernel"), key=lambda e: float(e["ts"])):
        duration_s = 1e-6 * float(event["dur"])
        if _MARKER in event["name"]:
            if launched is not None:
                calls.append(ProfiledCall(tuple(launched), _MARKER_CYCLES / duration_s))
            launched = []
        elif launched is not None:
            blocks, threads = (math.prod(map(int, event["args"].get(name, ()))) for name in ("grid", "block"))
            launched.append(Kernel(event["name"], blocks, threads, duration_s))
    return calls
