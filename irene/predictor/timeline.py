"""When the host issues each call and when the GPU runs it: what makes small work host-bound.

In eager mode Python issues calls one after another; the GPU starts each kernel when it has been issued and the one
before has ended. Repeated calls of a model settle into a steady state: if the GPU is slower, its queue never empties and
no gaps appear; if the host is slower, the GPU waits, at idle power, and the gaps add up to the difference.
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
    host_total, gpu_total = float(host_s.sum()), float(gpu_s.sum())
    if gpu_total >= host_total:
        return Timeline(gpu_total, np.zeros_like(gpu_s))
    issued = np.cumsum(host_s)
    ran = np.cumsum(gpu_s)
    # end_i = max over j <= i of (issued_j + work from j to i): the queue is empty when the lap starts.
    end = ran + np.maximum.accumulate(issued - (ran - gpu_s))
    start = end - gpu_s
    gap = np.maximum(start - np.concatenate([[0.0], end[:-1]]), 0.0)
    scale = (host_total - gpu_total) / gap.sum() if gap.sum() > 0 else 0.0
    return Timeline(host_total, gap * scale)
