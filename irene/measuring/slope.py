"""From the counter's updates and the calls done to joules, seconds and watts of one call.

A tick is a new value of the counter. Ticks come about every 100 ms, so a slope is taken from tick to tick, and calls
are interpolated at the ticks' times. In a call longer than 50 ms the power is not uniform: there the window is cut at
call boundaries, and the counter is interpolated instead.
"""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from irene.errors import MeterError, NoMeasurement
from irene.measuring.power_checks import require_possible

Sample = tuple[float, float]  # (time_s, energy_j)
CallCount = tuple[float, int]  # (time_s, calls_done)

LONG_CALL_S = 0.05
LONG_CALLS_MIN = 10
LONG_WINDOW_S = 2.0
_SHARP_S = 0.01  # two of Python's switch intervals: a thread waits so long for calls that keep the interpreter


@dataclass(frozen=True, slots=True)
class Log:
    """What one window recorded: every poll of the counter, and the calls done at every synchronisation.

    A poll's time is the moment before the read. Where inside the read the value is taken is unknown, but it is the same
    for all of them, so it shifts every tick alike and leaves differences untouched.
    """

    samples: tuple[Sample, ...]
    calls: tuple[CallCount, ...]


@dataclass(frozen=True, slots=True)
class WindowResult:
    """Energy (J), duration (s) and power (W) of one call over one interval: energy_j = power_w * duration_s."""

    energy_j: float
    duration_s: float
    power_w: float
    calls: float
    window_s: float
    ticks: int


def find_ticks(samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The counter's updates: (estimated time in s, value in J).

    A value first seen by one poll was written between the poll before and this one; the middle is the best estimate,
    wrong by half the distance at most. A tick whose two polls lie far apart (the thread was held up) is left out: the
    energy is in the next one anyway.

    >>> find_ticks([(0.000, 5.0), (0.004, 5.0), (0.008, 6.0), (0.012, 6.0)])
    ((0.006, 6.0),)
    """
    changes = [(a, b) for a, b in pairwise(samples) if b[1] != a[1]]
    if not changes:
        return ()
    widest_s = max(_SHARP_S, 4 * statistics.median(b[0] - a[0] for a, b in changes))
    return tuple(((a[0] + b[0]) / 2, b[1]) for a, b in changes if b[0] - a[0] <= widest_s)


def compute_slope(
    ticks: Sequence[Sample],
    call_log: Sequence[CallCount],
    *,
    long_calls: bool,
    min_ticks: int = 10,
    min_window_s: float = 0.0,
) -> WindowResult:
    """Energy, duration and power of one call, all three over exactly the same interval.

    `ticks` are the counter's updates (time_s, energy_j), `call_log` the calls done at times right after a
    synchronisation. Normally the interval is from the first tick to the last one inside the log, and calls are
    interpolated; with `long_calls`, from the first to the last logged call boundary between ticks, at least 2 s and 10
    calls, and the counter is interpolated.

    Raises NoMeasurement, with the numbers, for less than that, or no difference. Raises MeterError for a counter that
    runs backwards: its range is not known here, so unwrapping would invent energy; a meter that knows it unwraps. Also
    for a power that no board draws.

    >>> ticks = [(0.05 + 0.1 * i, 30.0 * i) for i in range(11)]
    >>> compute_slope(ticks, [(0.0, 0), (1.2, 600)], long_calls=False).energy_j
    0.6
    """
    for (time_s, energy_j), (next_s, next_j) in pairwise(ticks):
        if next_j < energy_j or next_s <= time_s:
            raise MeterError(
                f"The energy counter ran backwards: {energy_j:.3f} J at {time_s:.3f} s, then {next_j:.3f} J at "
                f"{next_s:.3f} s (it wrapped, or the driver was reloaded); measure this case again."
            )
    if long_calls:
        points = [p for p in call_log if ticks and ticks[0][0] <= p[0] <= ticks[-1][0]]
        start_s, end_s = (points[0][0], points[-1][0]) if points else (0.0, 0.0)
        min_calls, min_window_s = LONG_CALLS_MIN, max(LONG_WINDOW_S, min_window_s)
    else:
        inside = [t for t in ticks if call_log and call_log[0][0] <= t[0] <= call_log[-1][0]]
        start_s, end_s = (inside[0][0], inside[-1][0]) if inside else (0.0, 0.0)
        min_calls = 0
    count = sum(start_s <= t[0] <= end_s for t in ticks) if end_s > start_s else 0
    span_s = end_s - start_s
    calls = _interpolate(call_log, end_s) - _interpolate(call_log, start_s) if span_s > 0 else 0.0
    energy_j = _interpolate(ticks, end_s) - _interpolate(ticks, start_s) if span_s > 0 else 0.0
    if count < min_ticks or span_s < min_window_s or calls < min_calls or calls <= 0 or energy_j <= 0:
        raise NoMeasurement(
            f"No measurement: {count} counter ticks (at least {min_ticks}), {span_s:.3f} s (at least {min_window_s:.3f}"
            f"), {calls:.1f} calls (at least {min_calls}, above 0), {energy_j:.3f} J (above 0); measure for longer."
        )
    require_possible(energy_j / span_s, span_s)
    return WindowResult(energy_j / calls, span_s / calls, energy_j / span_s, calls, span_s, count)


def _interpolate(points: Sequence[tuple[float, float]], time_s: float) -> float:
    """Linear between two points; `time_s` lies inside."""
    after = min(max(bisect_right(points, (time_s, float("inf"))), 1), len(points) - 1)
    (t0, y0), (t1, y1) = points[after - 1], points[after]
    return y1 if t1 == t0 else y0 + (y1 - y0) * (time_s - t0) / (t1 - t0)
