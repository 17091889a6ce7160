"""When the host issues each call and when the GPU runs it: what makes small work host-bound.

In eager mode Python issues calls one after another; the GPU starts each kernel when it has been issued and the one
before has ended. Repeated calls of a model settle into a steady state: if the GPU is slower, its queue never empties
and no gaps appear; if the host is slower, the GPU waits, at idle power, and the gaps add up to the difference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Steady state of one call: `duration_s` in all, and the wait before each leaf, shape (leaves,)."""

    duration_s: float
    gap_s: FloatArray


def run_timeline(host_s: FloatArray, gpu_s: FloatArray) -> Timeline:
    """Host seconds to issue each leaf and GPU seconds to run it -> the steady state.

    >>> run_timeline(np.array([3.0, 3.0]), np.array([1.0, 1.0])).duration_s
    6.0
    >>> run_timeline(np.array([1.0, 1.0]), np.array([5.0, 5.0])).gap_s.tolist()
    [0.0, 0.0]
    """
    host_total_s, gpu_total_s = float(host_s.sum()), float(gpu_s.sum())
    if gpu_total_s >= host_total_s:
        return Timeline(gpu_total_s, np.zeros_like(gpu_s))
    # Two laps: work may be left in the queue when the next call begins, but what is left after the second lap is what
    # was left after the first, since going back a whole lap wins less work (gpu) than it costs in time (host).
    issued = np.cumsum(np.tile(host_s, 2))
    work = np.tile(gpu_s, 2)
    ran = np.cumsum(work)
    # end_i = max over j <= i of (issued_j + work from j to i): the queue is empty before the first lap.
    end = ran + np.maximum.accumulate(issued - (ran - work))
    count = len(gpu_s)
    gap_s = np.maximum((end - work)[count:] - end[count - 1 : -1], 0.0)
    total_s = float(gap_s.sum())
    if total_s <= 0:  # the two differ by less than rounding
        return Timeline(gpu_total_s, np.zeros_like(gpu_s))
    # In exact arithmetic the gaps already sum to the difference; this takes the rounding away.
    return Timeline(host_total_s, gap_s * ((host_total_s - gpu_total_s) / total_s))
