"""One clock for a whole: the power cap holds for the board's average, not for each kernel.

A kernel that alone would draw more than the cap runs slower in a loop of its own. Inside a model its neighbours may
draw less, the average stays below the cap, and it runs at full clock; or the average does reach the cap, and one clock
slows everything that can be slowed, by less than in the worst kernel's own loop. So each leaf carries by how much it
was slowed alone, and a whole looks for the one share of that slowing at which its mean power keeps to the cap.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_model import LeafValues

FloatArray = NDArray[np.float64]
# Dynamic power goes with clock x voltage squared, and voltage with the clock: about its third power.
CLOCK_EXPONENT = 3.0
# Mean power falls as the share grows: of so many shares at a time, the first one that keeps to the cap is taken, and
# looked at closer. The last round is finer than one in a thousand million.
_SHARES, _ROUNDS = 32, 6
_NO_TIME_S = 1e-30  # a whole that takes no time draws no power
_BETWEEN = np.arange(1.0, _SHARES)


def share_clock(alone: LeafValues, counts: FloatArray, issue_s: float, spec: DeviceSpec) -> LeafValues:
    """The leaves as they run in a whole in which each occurs `counts` times; arrays over distinct leaves.

    `issue_s` is the host's time for the whole, 0 if it never waits for the host: idle time lowers the mean power.
    """
    idle_w = spec.context_idle_power_w
    is_slowed = alone.slowing != 1.0
    of_rest = np.where(is_slowed, 0.0, counts)
    rest_s, rest_j = float(of_rest @ alone.duration_s), float(of_rest @ alone.energy_j)  # whatever the share
    slowed_s, slowed_w = counts[is_slowed] * alone.duration_s[is_slowed], alone.power_w[is_slowed]
    static_j, dynamic_j = slowed_s * np.minimum(slowed_w, idle_w), slowed_s * np.maximum(slowed_w - idle_w, 0.0)
    log_slowing = np.log(alone.slowing[is_slowed])

    def mean_power_w(shares: FloatArray) -> FloatArray:
        """What `_slow` would add up to, in half the time: it is asked of hundreds of shares a whole."""
        relief = np.exp(np.multiply.outer(1.0 - shares, log_slowing))
        faster = 1.0 / relief
        busy_s = rest_s + faster @ slowed_s
        gap_s = np.maximum(0.0, issue_s - busy_s)
        energy_j = rest_j + faster @ static_j + relief ** (CLOCK_EXPONENT - 1.0) @ dynamic_j + idle_w * gap_s
        whole_s = busy_s + gap_s
        power_w: FloatArray = energy_j / np.maximum(whole_s, _NO_TIME_S)
        return power_w

    if mean_power_w(np.zeros(1))[0] <= spec.power_cap_w:
        return _slow(alone, 0.0, idle_w)
    low, step = 0.0, 1.0
    for _ in range(_ROUNDS):
        step /= _SHARES
        low += step * float((mean_power_w(low + step * _BETWEEN) > spec.power_cap_w).sum())
    return _slow(alone, low + step, idle_w)


def _slow(alone: LeafValues, share: float, idle_w: float) -> LeafValues:
    """The leaves slowed by a share (0 to 1, as alone) of what each is slowed by in its own loop."""
    relief = alone.slowing ** (1.0 - share)
    dynamic_w = np.maximum(alone.power_w - idle_w, 0.0) * relief**CLOCK_EXPONENT
    power_w = np.where(alone.power_w > 0, np.minimum(alone.power_w, idle_w) + dynamic_w, 0.0)
    return LeafValues(alone.duration_s / relief, power_w, alone.slowing)
