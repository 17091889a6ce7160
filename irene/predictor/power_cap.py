"""One clock for a pass: the power cap holds for the board's average, not for each kernel.

A kernel that alone would draw more than the cap runs slower in a loop of its own. Inside a model its neighbours may
draw less, the average stays below the cap, and it runs at full clock; or the average does reach the cap, and one clock
slows everything that can be slowed, by less than in the worst kernel's own loop. So each leaf carries by how much it
was slowed alone, and a pass looks for the one share of that slowing at which its mean power keeps to the cap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irene.arrays import BoolArray, FloatArray, IntArray
from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_model import LeafValues

# Dynamic power goes with clock x voltage squared, and voltage with the clock: about its third power.
CLOCK_EXPONENT = 3.0
# Mean power falls as the share grows: of so many shares at a time, the first one that keeps to the cap is taken, and
# looked at closer. The last round is finer than one in a thousand million.
_SHARES, _ROUNDS = 32, 6
_NO_TIME_S = 1e-30  # a pass that takes no time draws no power
_BETWEEN = np.arange(1.0, _SHARES)


def share_clock(alone: LeafValues, counts: FloatArray, issue_s: float, spec: DeviceSpec) -> LeafValues:
    """The leaves as they run in a pass in which each occurs `counts` times; arrays over distinct leaves, (leaves,).

    `issue_s` is the host's time for the pass, 0 if it never waits for the host: idle time lowers the mean power.
    """
    duration_s, power_w, slowing = (column[None] for column in alone.columns)
    running = share_clocks(LeafValues(duration_s, power_w, slowing), counts, issue_s, spec)
    return LeafValues(running.duration_s[0], running.power_w[0], running.slowing[0])


def share_clocks(alone: LeafValues, counts: FloatArray, issue_s: float, spec: DeviceSpec) -> LeafValues:
    """As `share_clock` for several passes, each with a clock of its own: the arrays of `alone` are (passes, leaves)."""
    idle_w = spec.context_idle_power_w
    some = (alone.slowing != 1.0).any(axis=0)
    shares = np.zeros(len(alone.slowing))
    if some.any():
        passes = _Passes.of(alone, counts, some, issue_s, idle_w)
        over = np.flatnonzero(passes.mean_power_w(shares[:, None])[:, 0] > spec.power_cap_w)
        shares[over] = _find_shares(passes.take(over), spec.power_cap_w)
    return _slow(alone, shares[:, None], idle_w)


@dataclass(frozen=True, slots=True, eq=False)
class _Passes:
    """What a clock does not change of some passes (`rest`), and of what it may slow: seconds, joules, and by how much.

    Arrays are (passes,), and (passes, leaves) over the leaves that any of them slows.
    """

    rest_s: FloatArray
    rest_j: FloatArray
    slowed_s: FloatArray
    static_j: FloatArray
    dynamic_j: FloatArray
    log_slowing: FloatArray
    issue_s: float
    idle_w: float

    @staticmethod
    def of(alone: LeafValues, counts: FloatArray, some: BoolArray, issue_s: float, idle_w: float) -> _Passes:
        of_rest = np.where(some, 0.0, counts)
        slowed_s, slowed_w = counts[some] * alone.duration_s[:, some], alone.power_w[:, some]
        return _Passes(
            alone.duration_s @ of_rest, alone.energy_j @ of_rest, slowed_s, slowed_s * np.minimum(slowed_w, idle_w),
            slowed_s * np.maximum(slowed_w - idle_w, 0.0), np.log(alone.slowing[:, some]), issue_s, idle_w,
        )  # fmt: skip

    def take(self, at: IntArray) -> _Passes:
        """Some of the passes."""
        arrays = (self.rest_s, self.rest_j, self.slowed_s, self.static_j, self.dynamic_j, self.log_slowing)
        rest_s, rest_j, slowed_s, static_j, dynamic_j, log_slowing = (array[at] for array in arrays)
        return _Passes(rest_s, rest_j, slowed_s, static_j, dynamic_j, log_slowing, self.issue_s, self.idle_w)

    def mean_power_w(self, shares: FloatArray) -> FloatArray:
        """What `_slow` would add up to, in half the time; `shares` and what is returned are (passes, shares)."""
        relief = np.exp((1.0 - shares)[:, :, None] * self.log_slowing[:, None, :])
        faster = 1.0 / relief
        dynamic_j = _sum(relief ** (CLOCK_EXPONENT - 1.0), self.dynamic_j)
        busy_s = self.rest_s[:, None] + _sum(faster, self.slowed_s)
        gap_s = np.maximum(0.0, self.issue_s - busy_s)
        energy_j = self.rest_j[:, None] + _sum(faster, self.static_j) + dynamic_j + self.idle_w * gap_s
        power_w: FloatArray = energy_j / np.maximum(busy_s + gap_s, _NO_TIME_S)
        return power_w


def _sum(factors: FloatArray, values: FloatArray) -> FloatArray:
    """Factors (passes, shares, leaves) times values (passes, leaves), summed over leaves."""
    sums: FloatArray = np.matmul(factors, values[:, :, None])[:, :, 0]
    return sums


def _find_shares(passes: _Passes, cap_w: float) -> FloatArray:
    """The share of its slowing at which each pass keeps to the cap, of passes that would not without any: (passes,)."""
    low, step = np.zeros(len(passes.rest_s)), 1.0
    for _ in range(_ROUNDS):
        step /= _SHARES
        low += step * (passes.mean_power_w(low[:, None] + step * _BETWEEN) > cap_w).sum(axis=1)
    return low + step


def _slow(alone: LeafValues, share: FloatArray, idle_w: float) -> LeafValues:
    """The leaves slowed by a share (0 to 1, as alone) of what each is slowed by in its own loop."""
    relief = alone.slowing ** (1.0 - share)
    dynamic_w = np.maximum(alone.power_w - idle_w, 0.0) * relief**CLOCK_EXPONENT
    power_w = np.where(alone.power_w > 0, np.minimum(alone.power_w, idle_w) + dynamic_w, 0.0)
    return LeafValues(alone.duration_s / relief, power_w, alone.slowing)
