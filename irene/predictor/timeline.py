"""When the host issues each call and when the GPU runs it: what makes small work host-bound.

In eager mode Python issues calls one after another; the GPU starts each kernel when it has been issued and the one
before has ended. Repeated calls of a model settle into a steady state: if the GPU is slower, its queue never empties
and no gaps appear; if the host is slower, the GPU waits, at idle power, and the gaps add up to the difference. A value
that the host reads back empties the queue: the host waits for the GPU, and then the GPU for the host.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irene.arrays import BoolArray, FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """Steady state of one call: `duration_s` in all, and the wait before each leaf, shape (leaves,)."""

    duration_s: float
    gap_s: FloatArray


def run_timeline(host_s: FloatArray, gpu_s: FloatArray, reads_back: BoolArray | None = None) -> Timeline:
    """Host seconds to issue each leaf and GPU seconds to run it, shape (leaves,) -> the steady state.

    After a leaf that `reads_back` the host goes on when the GPU has run it.

    >>> run_timeline(np.array([3.0, 3.0]), np.array([1.0, 1.0])).duration_s
    6.0
    >>> run_timeline(np.array([1.0, 1.0]), np.array([5.0, 5.0])).gap_s.tolist()
    [0.0, 0.0]
    >>> run_timeline(np.array([1.0, 1.0]), np.array([5.0, 5.0]), np.array([False, True])).gap_s.tolist()
    [1.0, 0.0]
    """
    gap_s = find_gaps(host_s, gpu_s[None], reads_back)[0]
    if reads_back is not None and reads_back.any():
        return Timeline(float(gpu_s.sum() + gap_s.sum()), gap_s)
    return Timeline(float(host_s.sum() if gap_s.any() else gpu_s.sum()), gap_s)


def find_gaps(host_s: FloatArray, gpu_s: FloatArray, reads_back: BoolArray | None = None) -> FloatArray:
    """The wait before each leaf in passes with the same host: `gpu_s` and what is returned are (passes, leaves)."""
    if reads_back is not None and reads_back.any():
        return _run_between_waits(host_s, gpu_s, reads_back)
    gap_s = np.zeros_like(gpu_s)
    behind_s = host_s.sum() - gpu_s.sum(axis=1)
    if (waiting := np.flatnonzero(behind_s > 0)).size:
        gap_s[waiting] = _run_two_laps(host_s, gpu_s[waiting], behind_s[waiting])
    return gap_s


def _run_two_laps(host_s: FloatArray, gpu_s: FloatArray, behind_s: FloatArray) -> FloatArray:
    """Gaps of passes whose host takes `behind_s` (passes,) longer than the GPU."""
    # Two laps: work may be left in the queue when the next call begins, but what is left after the second lap is what
    # was left after the first, since going back a whole lap wins less work (gpu) than it costs in time (host).
    issued = np.cumsum(np.tile(host_s, 2))
    work = np.tile(gpu_s, 2)
    ran = np.cumsum(work, axis=1)
    # end_i = max over j <= i of (issued_j + work from j to i): the queue is empty before the first lap.
    end = ran + np.maximum.accumulate(issued - (ran - work), axis=1)
    count = len(host_s)
    gap_s = np.maximum((end - work)[:, count:] - end[:, count - 1 : -1], 0.0)
    total_s = gap_s.sum(axis=1)
    # In exact arithmetic the gaps already sum to the difference; this takes the rounding away. Where there are none,
    # the two differ by less than rounding.
    some = total_s > 0
    gap_s *= np.where(some, behind_s / np.where(some, total_s, 1.0), 0.0)[:, None]
    return gap_s


def _run_between_waits(host_s: FloatArray, gpu_s: FloatArray, reads_back: BoolArray) -> FloatArray:
    """From one value read back to the next both begin with nothing queued, so that every call is as the one before."""
    last = int(np.flatnonzero(reads_back)[-1]) + 1
    order = np.roll(np.arange(len(host_s)), -last)  # a lap that ends with a wait
    gap_s = np.zeros_like(gpu_s)
    for part in np.split(order, np.flatnonzero(reads_back[order])[:-1] + 1):
        issued, work = np.cumsum(host_s[part]), gpu_s[:, part]
        ran = np.cumsum(work, axis=1)
        end = ran + np.maximum.accumulate(issued - (ran - work), axis=1)
        gap_s[:, part] = np.maximum(np.diff(end, prepend=0.0, axis=1) - work, 0.0)
    return gap_s
