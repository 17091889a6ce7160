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
from irene.predictor.leaf_model import LeafValues

FloatArray = NDArray[np.float64]
# Dynamic power goes with clock x voltage squared, and voltage with the clock: about its third power.
CLOCK_EXPONENT = 3.0
# Mean power falls as the share grows: of so many shares at a time, the first one that keeps to the cap is taken, and
# looked at closer. The last round is finer than one in a thousand million.
_SHARES, _ROUNDS = 32, 6


def share_clock(alone: LeafValues, counts: FloatArray, issue_s: float, spec: DeviceSpec) -> LeafValues:
    """The leaves as they run in a whole in which each occurs `counts` times; arrays over distinct leaves.

    `issue_s` is the host's time for the whole, 0 if it never waits for the host: idle time lowers the mean power.
    """
    idle_w = spec.context_idle_power_w
    is_slowed = alone.slowing != 1.0
    slowed = LeafValues(alone.duration_s[is_slowed], alone.power_w[is_slowed], alone.slowing[is_slowed])
    of_slowed, of_rest = counts[is_slowed], np.where(is_slowed, 0.0, counts)
    rest_s, rest_j = float(of_rest @ alone.duration_s), float(of_rest @ alone.energy_j)  # whatever the share

    def mean_power_w(shares: FloatArray) -> FloatArray:
        values = _slow(slowed, shares[:, None], idle_w)
        busy_s = rest_s + values.duration_s @ of_slowed
        gap_s = np.maximum(0.0, issue_s - busy_s)
        energy_j = rest_j + values.energy_j @ of_slowed + idle_w * gap_s
        whole_s = busy_s + gap_s
        power_w: FloatArray = np.divide(energy_j, whole_s, out=np.zeros_like(whole_s), where=whole_s > 0)
        return power_w

    if mean_power_w(np.zeros(1))[0] <= spec.power_cap_w:
        return _slow(alone, 0.0, idle_w)
    shares = np.array([0.0, 1.0])
    for _ in range(_ROUNDS):
        shares = np.linspace(shares[0], shares[1], _SHARES + 1)
        first = 1 + int((mean_power_w(shares[1:-1]) > spec.power_cap_w).sum())
        shares = shares[first - 1 : first + 1]
    return _slow(alone, float(shares[1]), idle_w)


def _slow(alone: LeafValues, share: float | FloatArray, idle_w: float) -> LeafValues:
    """The leaves slowed by a share (0 to 1, as alone) of what each is slowed by in its own loop.

    For shares of shape (shares, 1), values of shape (shares, leaves).
    """
    relief = alone.slowing ** (1.0 - share)
    dynamic_w = np.maximum(alone.power_w - idle_w, 0.0) * relief**CLOCK_EXPONENT
    power_w = np.where(alone.power_w > 0, np.minimum(alone.power_w, idle_w) + dynamic_w, 0.0)
    return LeafValues(alone.duration_s / relief, power_w, alone.slowing)
