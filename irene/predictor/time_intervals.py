"""How wrong a predicted time may be: it follows from how wide the interval of the energy is.

Times err as energies do where the GPU decides, and more where the host does: a busy host changes the time of waiting
more than its joules. The widths are those that cover 90 % of the 494 held-out models and modules of
experiments/leave-one-family-out/cases.csv (predicted without their family), as for energies: the ceil(0.9 (n + 1))-th
smallest log error, beside the median width of the energies there. Between the two regimes of eager mode, and beyond,
the width goes straight. With families held out from this fit too, 88 % of their times are covered.
"""

from __future__ import annotations

import math

# Half-widths in log, by execution: of the energy, and of the time beside it, from the busiest to the most waiting.
WIDTHS = {"cuda_graph": ((0.0887, 0.0634),), "eager": ((0.0794, 0.0816), (0.2753, 0.3876))}


def time_interval_s(
    duration_s: float, energy_j: float, interval_j: tuple[float, float], execution: str
) -> tuple[float, float]:
    """The 90 % interval of a time, from the energy of the same part and its interval.

    >>> low, high = time_interval_s(1.0, 100.0, (92.1, 108.6), "eager")
    >>> round(low, 2), round(high, 2)
    (0.92, 1.09)
    """
    half = half_width(math.log(interval_j[1] / energy_j) if energy_j > 0 else 0.0, execution)
    return duration_s * math.exp(-half), duration_s * math.exp(half)


def half_width(of_energy: float, execution: str) -> float:
    """The half-width of a time in log, beside that of the energy.

    >>> half_width(0.0887, "cuda_graph"), round(half_width(0.0, "eager"), 3)
    (0.0634, 0.0)
    """
    points = ((0.0, 0.0), *WIDTHS[execution])
    for (left, low), (right, high) in zip(points, points[1:], strict=False):
        if of_energy <= right:
            return low + (of_energy - left) / (right - left) * (high - low)
    widest, of_time = points[-1]
    return of_energy * of_time / widest
