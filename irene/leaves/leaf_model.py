"""What one primitive costs alone: time first, then power, each a learned ratio to physics.

time = base / utilisation: the log ratio is learned by trees and a Gaussian process together, one blend for each set of
kernels, taught by the many cheap timings; for products on top of what a survey taught. Power = watts by rates x what is
learned of the kernel from the fewer windows with energy; so is the stretch from a burst's time to the sustained time
under the power cap. Some kernels have a regressor of power of their own.
Energy = power x sustained time.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irene.hardware.spec import DeviceSpec
from irene.leaves.blend import Blend, fit_blend, fit_blend_on
from irene.leaves.leaf_table import REGRESSORS, FloatArray, LeafTable
from irene.leaves.own_power import OWN_POWER
from irene.leaves.power_features import power_matrix
from irene.leaves.rate_power import RatePower, fit_rate_power
from irene.leaves.rough_regressor import RoughRegressor

_TIME_SETTINGS: dict[str, Any] = {
    "n_estimators": 250, "max_depth": 5, "learning_rate": 0.1, "max_bin": 64, "subsample": 0.8,
    "colsample_bytree": 0.5, "min_child_weight": 2.0,
}  # fmt: skip
_POWER_SETTINGS: dict[str, Any] = {
    "n_estimators": 250, "max_depth": 4, "learning_rate": 0.05, "subsample": 0.8, "colsample_bytree": 0.7,
    "min_child_weight": 2.0,
}  # fmt: skip
# How much of the answer is the Gaussian process's, chosen with whole sites held out: more where rows are few, as for
# attention, plain convolutions and grouped products with some thousands each at most; less where kernels jump.
_SMOOTH_SHARES = {
    "gemm-half": 0.4, "gemm-tf32": 0.4, "gemm-single": 0.4, "vector-pointwise": 0.75, "vector-rowwise": 0.5,
    "gemm-convolution-in-groups": 0.5,
}  # fmt: skip
_FEW_ROWS_SMOOTH_SHARE = 0.75
_POWER_SMOOTH_SHARE = 0.5
_NO_SURVEY: Mapping[str, Any] = MappingProxyType({})
_FEWEST_ROWS = 20  # that a regressor of some of the kernels is fitted on
_NEXT_BEST = {"gemm-convolution-in-groups": "gemm-convolution"}  # whose columns they have too: where rows were fewer
# Outside the data both hold their edge value; these keep a ratio from ever leaving physics altogether.
_MAX_LOG_RATIO = 6.0
# Above this share of the cap, a sustained time that is longer than a burst's is the cap's doing.
_CAPPED_SHARE = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class LeafValues:
    """Per row of a table: sustained seconds and watts of the call in a loop of its own.

    `slowing` says how much longer the power cap makes it there: 1 where the cap is out of reach.
    """

    duration_s: FloatArray
    power_w: FloatArray
    slowing: FloatArray

    @property
    def energy_j(self) -> FloatArray:
        return self.duration_s * self.power_w

    def split(self, at: NDArray[np.int64]) -> list[LeafValues]:
        """Parts that begin at 0 and at each place of `at`."""
        columns = (np.split(values, at) for values in (self.duration_s, self.power_w, self.slowing))
        return [LeafValues(*parts) for parts in zip(*columns, strict=True)]


@dataclass(frozen=True, slots=True, eq=False)
class LeafModel:
    """Fitted regressors: `time` by the names in REGRESSORS; `power` and `stretch` over all of them.

    `power` is of the log of watts over those by `rates`. `own_power` by the names in OWN_POWER, of the log of watts,
    stands in for both there, where rows were enough.
    """

    time: dict[str, Blend]
    rates: RatePower
    power: Blend
    own_power: dict[str, Blend]
    stretch: Blend
    idle_power_w: float
    power_cap_w: float

    def predict(self, table: LeafTable) -> LeafValues:
        """Sustained time and power of every row; rows that launch no kernel cost nothing here."""
        burst_s = self.predict_burst_s(table)
        some_s = np.maximum(burst_s, 1e-9)
        by_rates_w = self.rates.power_w(table, some_s)
        seen = power_matrix(table, some_s, by_rates_w)
        log_w = np.log(by_rates_w) + self.power.predict(seen)
        for name, regressor in self.own_power.items():
            members = OWN_POWER[name].members(table)
            if len(members):
                log_w[members] = regressor.predict(OWN_POWER[name].matrix(table, members, some_s[members]))
        power_w = np.clip(np.exp(log_w), self.idle_power_w, self.power_cap_w)
        stretch = np.exp(self.stretch.predict(seen))
        capped = table.launches & (power_w > _CAPPED_SHARE * self.power_cap_w)
        slowing = np.where(capped, np.maximum(stretch, 1.0), 1.0)
        silent = ~table.launches
        return LeafValues(np.where(silent, 0.0, burst_s * stretch), np.where(silent, 0.0, power_w), slowing)

    def predict_burst_s(self, table: LeafTable) -> FloatArray:
        """Seconds of a call in a short burst, clocks up: what CUDA events measure."""
        duration_s = table.base_s.copy()
        for name in REGRESSORS:
            fitted = name if name in self.time else _NEXT_BEST.get(name, name)
            members = table.members_of(name)
            if fitted in self.time and len(members):
                answer = self.time[fitted].predict(table.matrix(fitted, members))
                ratio = np.clip(answer, -_MAX_LOG_RATIO, _MAX_LOG_RATIO)
                duration_s[members] *= np.exp(ratio)
        return np.where(table.launches, duration_s, 0.0)


def fit_leaf_model(
    timed: LeafTable, timed_s: FloatArray, metered: LeafTable, metered_s: FloatArray, metered_w: FloatArray,
    burst_s: FloatArray, spec: DeviceSpec, seed: int = 0, surveyed: Mapping[str, RoughRegressor] = _NO_SURVEY,
) -> LeafModel:  # fmt: skip
    """Fit time on `timed` (burst seconds); power and stretch on `metered` (window seconds, watts, burst seconds).

    `surveyed` has rough regressors of time for some of REGRESSORS, as `fit_surveyed` makes them.
    """
    time = {}
    for name in REGRESSORS:
        members = timed.members_of(name)
        if len(members) >= _FEWEST_ROWS:
            target = np.log(timed_s[members] / timed.base_s[members])
            time[name] = fit_time(name, timed.matrix(name, members), target, seed, surveyed.get(name))
    rates = fit_rate_power(metered, burst_s, metered_w, spec)
    by_rates_w = rates.power_w(metered, burst_s)
    seen = power_matrix(metered, burst_s, by_rates_w)
    power = fit_blend(seen, np.log(metered_w / by_rates_w), _POWER_SETTINGS, _POWER_SMOOTH_SHARE, seed)
    own_power = {}
    for name, own in OWN_POWER.items():
        members = own.members(metered)
        if len(members) >= _FEWEST_ROWS:
            columns, target = own.matrix(metered, members, burst_s[members]), np.log(metered_w[members])
            own_power[name] = fit_blend(columns, target, _POWER_SETTINGS, _FEW_ROWS_SMOOTH_SHARE, seed)
    stretch = fit_blend(seen, np.log(metered_s / burst_s), _POWER_SETTINGS, _POWER_SMOOTH_SHARE, seed)
    return LeafModel(time, rates, power, own_power, stretch, spec.context_idle_power_w, spec.power_cap_w)


def fit_time(
    regressor: str, features: FloatArray, target: FloatArray, seed: int = 0, surveyed: RoughRegressor | None = None
) -> Blend:
    """One regressor of time on `features` (rows, columns) and log ratios to the base time, shape (rows,)."""
    share = _SMOOTH_SHARES.get(regressor, _FEW_ROWS_SMOOTH_SHARE)
    if surveyed is None:
        return fit_blend(features, target, _TIME_SETTINGS, share, seed)
    return fit_blend_on(surveyed, features, target, _TIME_SETTINGS, share, seed)
