"""Time a replay in one short burst while the clock is up: after heavy work the power cap holds it down for a while.

Seen on an H200: 100 ms of heavy products took the clock from 1.98 to 1.5 GHz, where it stayed for more than 25 ms of
rest; the first 80 ms of the next burst ran at full clock. So a burst waits for the clock, ends within that time, and
says what the clock was afterwards.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

_REPEATS, _FEWEST_REPEATS = 7, 3
_LONGEST_BURST_S = 0.05
# The slowest probe at full clock read 1.94 of 1.98 GHz: its own launch is in it.
_UP_SHARE = 0.97
_REST_S, _LONGEST_WAIT_S = 0.01, 0.5
_PROBE_CYCLES, _PROBES = 1_000_000, 10


@dataclass(frozen=True, slots=True)
class Burst:
    """Seconds of a call, spread of the repeats (interquartile range over median, %), and the clock right afterwards."""

    duration_s: float
    spread_pct: float
    sm_clock_hz: float


def time_burst(run: Callable[[], object], calls: int, full_clock_hz: float, device: torch.device) -> Burst:
    """Median time of one of the `calls` in each `run()` by CUDA events, in some runs one after the other."""
    run()
    wait_for_clock(lambda: probe_clock_hz(device), full_clock_hz)
    first_s = _time_runs(run, 1, device)[0]
    times_s = sorted(_time_runs(run, count_repeats(first_s), device))
    sm_clock_hz = probe_clock_hz(device)
    median_s, quarter = statistics.median(times_s), len(times_s) // 4
    return Burst(median_s / calls, 100.0 * (times_s[-1 - quarter] - times_s[quarter]) / median_s, sm_clock_hz)


def count_repeats(run_s: float) -> int:
    """Runs in a burst: as many as end before the power cap answers, within limits.

    >>> count_repeats(2e-3), count_repeats(10e-3), count_repeats(1.0)
    (7, 5, 3)
    """
    return max(_FEWEST_REPEATS, min(_REPEATS, int(_LONGEST_BURST_S / run_s)))


def wait_for_clock(
    probe_hz: Callable[[], float], full_clock_hz: float, sleep: Callable[[float], object] = time.sleep
) -> float:
    """Rest until the clock is up, for half a second at most; the last clock that was read, in Hz."""
    for _ in range(round(_LONGEST_WAIT_S / _REST_S)):
        clock_hz = probe_hz()
        if clock_hz >= _UP_SHARE * full_clock_hz:
            return clock_hz
        sleep(_REST_S)
    return probe_hz()


def find_full_clock_hz(device: torch.device) -> float:
    """The clock after half a second of rest, the highest of some probes: the first ones wake the card."""
    torch.cuda.synchronize(device)
    time.sleep(_LONGEST_WAIT_S)
    return max(probe_clock_hz(device) for _ in range(_PROBES))


def probe_clock_hz(device: torch.device) -> float:
    """The clock of the streaming multiprocessors, by the time of a kernel that spins for a number of cycles.

    The first of two takes up what a launch costs. The driver's own reading lags, and takes milliseconds.
    """
    torch.cuda._sleep(_PROBE_CYCLES // 20)
    return _PROBE_CYCLES / _time_runs(lambda: torch.cuda._sleep(_PROBE_CYCLES), 1, device)[0]


def _time_runs(run: Callable[[], object], repeats: int, device: torch.device) -> list[float]:
    """Seconds of each of some runs, one after the other."""
    pairs = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        pairs.append((start, end))
    torch.cuda.synchronize(device)
    return [start.elapsed_time(end) * 1e-3 for start, end in pairs]
