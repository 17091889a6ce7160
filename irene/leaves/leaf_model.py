"""What one primitive costs alone: time first, then power, each a learned ratio to physics.

time = base / utilisation: the log ratio is learned by an ensemble of trees and a Gaussian process, one for each set of
kernels, taught by the many cheap timings; for products on top of what a survey taught. Power = watts by rates x what is
learned of the kernel from the fewer windows with energy; so is the ratio of sustained time to a burst's
under the power cap. Some kernels have a regressor of power of their own.
Energy = power x sustained time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np

from irene.arrays import FloatArray, IntArray
from irene.hardware.spec import DeviceSpec
from irene.leaves.kernel_sets import COLLECTIVE, REGRESSORS
from irene.leaves.leaf_table import LeafTable
from irene.leaves.learners.survey_trees import SurveyTrees
from irene.leaves.power.activity import RatePower, fit_rate_power
from irene.leaves.power.dedicated import DEDICATED_POWER
from irene.leaves.power.what_it_sees import power_matrix, power_names
from irene.leaves.regressor import Regressor, fit_regressor

TIME_SETTINGS: dict[str, Any] = {
    "n_estimators": 250, "max_depth": 5, "learning_rate": 0.1, "max_bin": 64, "subsample": 0.8,
    "colsample_bytree": 0.5, "min_child_weight": 2.0,
}  # fmt: skip
_POWER_SETTINGS: dict[str, Any] = {
    "n_estimators": 250, "max_depth": 4, "learning_rate": 0.05, "subsample": 0.8, "colsample_bytree": 0.7,
    "min_child_weight": 2.0,
}  # fmt: skip
# How much of the answer is the Gaussian process's, chosen with whole sites held out: more where rows are few, as for
# attention and grouped products with some thousands each at most; less where kernels jump.
_GP_SHARES = {
    "gemm-half": 0.4, "gemm-tf32": 0.4, "gemm-single": 0.4, "vector-pointwise": 0.75, "vector-rowwise": 0.5,
    "gemm-convolution": 0.5, "gemm-convolution-in-groups": 0.5, "vector-images": 0.9,
    "gemm-fp8": 1.0, "gemm-int8": 1.0, "gemm-sparse": 1.0, "gemm-packed": 1.0,
}  # fmt: skip
_FEW_ROWS_GP_SHARE = 0.75
_POWER_GP_SHARE = 0.5
_NO_SURVEY: Mapping[str, Any] = MappingProxyType({})
FEWEST_ROWS = 20  # that a regressor of some of the kernels is fitted on
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

    @property
    def columns(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        return self.duration_s, self.power_w, self.slowing

    def split(self, at: IntArray) -> list[LeafValues]:
        """Parts that begin at 0 and at each place of `at`."""
        columns = (np.split(values, at) for values in self.columns)
        return [LeafValues(*parts) for parts in zip(*columns, strict=True)]

    def take(self, rows: IntArray) -> LeafValues:
        """Some rows, in the order of `rows`."""
        return LeafValues(self.duration_s[rows], self.power_w[rows], self.slowing[rows])


def join_values(parts: Sequence[LeafValues]) -> LeafValues:
    """The values of tables that are joined, one after the other."""
    duration_s, power_w, slowing = (np.concatenate(own) for own in zip(*(part.columns for part in parts), strict=True))
    return LeafValues(duration_s, power_w, slowing)


class LeafPrices(Protocol):
    """Whatever says what primitives cost alone: a fitted LeafModel, or one that carries it over to another device."""

    def predict(self, table: LeafTable) -> LeafValues: ...
    def predict_burst_s(self, table: LeafTable) -> FloatArray: ...


@dataclass(frozen=True, slots=True, eq=False)
class LeafModel:
    """Fitted regressors: `time` by the names in REGRESSORS; `power` and `sustained_ratio` over all of them.

    `power` is of the log of watts over those by `rates`. `dedicated_power`, by the names in
    DEDICATED_POWER, of the log of watts, stands in for both there, where rows were enough.
    """

    time: dict[str, Regressor]
    rates: RatePower
    power: Regressor
    dedicated_power: dict[str, Regressor]
    sustained_ratio: Regressor
    idle_power_w: float
    power_cap_w: float

    def predict(self, table: LeafTable) -> LeafValues:
        """Sustained time and power of every row; rows that launch no kernel cost nothing here."""
        burst_s = self.predict_burst_s(table)
        some_s = np.maximum(burst_s, 1e-9)
        by_rates_w = self.rates.power_w(table, some_s)
        seen = power_matrix(table, some_s, by_rates_w)
        # What is learned of kernels says nothing of an exchange: until rows of it exist, it draws what its bytes do.
        exchanges = table.is_collective
        log_w = np.log(by_rates_w) + np.where(exchanges, 0.0, self.power.predict(seen, power_names()))
        for name, regressor in self.dedicated_power.items():
            own = DEDICATED_POWER[name]
            members = own.members(table)
            if len(members):
                log_w[members] = regressor.predict(own.matrix(table, members, some_s[members]), own.names)
        power_w = np.clip(np.exp(log_w), self.idle_power_w, self.power_cap_w)
        sustained_ratio = np.exp(np.where(exchanges, 0.0, self.sustained_ratio.predict(seen, power_names())))
        capped = table.launches & (power_w > _CAPPED_SHARE * self.power_cap_w)
        slowing = np.where(capped, np.maximum(sustained_ratio, 1.0), 1.0)
        silent = ~table.launches
        sustained_s = np.maximum(burst_s * sustained_ratio, table.least_s)
        return LeafValues(np.where(silent, 0.0, sustained_s), np.where(silent, 0.0, power_w), slowing)

    def predict_burst_s(self, table: LeafTable) -> FloatArray:
        """Seconds of a call in a short burst, clocks up: what CUDA events measure. Never below the roofline."""
        duration_s = table.base_s.copy()
        for name in REGRESSORS:
            fitted = name if name in self.time else _NEXT_BEST.get(name, name)
            members = table.members_of(name)
            if fitted in self.time and len(members):
                answer = self.time[fitted].predict(table.matrix(fitted, members), table.names_of(fitted))
                ratio = np.clip(answer, -_MAX_LOG_RATIO, _MAX_LOG_RATIO)
                duration_s[members] *= np.exp(ratio)
        return np.where(table.launches, np.maximum(duration_s, table.least_s), 0.0)


def fit_leaf_model(
    timed: LeafTable, timed_s: FloatArray, metered: LeafTable, metered_s: FloatArray, metered_w: FloatArray,
    burst_s: FloatArray, spec: DeviceSpec, seed: int = 0, surveyed: Mapping[str, SurveyTrees] = _NO_SURVEY,
) -> LeafModel:  # fmt: skip
    """Fit time on `timed` (burst seconds); power and sustained ratio on `metered` (window seconds, watts, burst s).

    `surveyed` has priors of time for some of REGRESSORS, as `fit_surveyed` makes them.
    """
    time = {}
    for name in REGRESSORS:
        members = timed.members_of(name)
        if len(members) >= FEWEST_ROWS:
            target = np.log(timed_s[members] / timed.base_s[members])
            seen = timed.matrix(name, members)
            time[name] = fit_time(name, seen, timed.names_of(name), target, seed, surveyed.get(name))
    # What ranks exchange teaches its own regressors, and none of the others.
    own = ~metered.is_collective
    exchanged, exchange_s, exchange_w = metered, burst_s, metered_w
    metered, metered_s, metered_w, burst_s = metered.take(own), metered_s[own], metered_w[own], burst_s[own]
    rates = fit_rate_power(metered, burst_s, metered_w, spec)
    by_rates_w = rates.power_w(metered, burst_s)
    seen = power_matrix(metered, burst_s, by_rates_w)
    names = power_names()
    power = fit_regressor(seen, names, np.log(metered_w / by_rates_w), _POWER_SETTINGS, _POWER_GP_SHARE, seed)
    dedicated_power = {}
    for name, dedicated in DEDICATED_POWER.items():
        of_ranks = name == COLLECTIVE
        table, seconds, watts = (exchanged, exchange_s, exchange_w) if of_ranks else (metered, burst_s, metered_w)
        members = dedicated.members(table)
        if len(members) >= FEWEST_ROWS:
            columns, target = dedicated.matrix(table, members, seconds[members]), np.log(watts[members])
            settings = (_POWER_SETTINGS, _FEW_ROWS_GP_SHARE, seed)
            dedicated_power[name] = fit_regressor(columns, dedicated.names, target, *settings)
    stretched = np.log(metered_s / burst_s)
    sustained_ratio = fit_regressor(seen, names, stretched, _POWER_SETTINGS, _POWER_GP_SHARE, seed)
    return LeafModel(time, rates, power, dedicated_power, sustained_ratio, spec.context_idle_power_w, spec.power_cap_w)


def fit_time(
    regressor: str, features: FloatArray, names: tuple[str, ...], target: FloatArray, seed: int = 0,
    surveyed: SurveyTrees | None = None,
) -> Regressor:  # fmt: skip
    """One regressor of time on `features` (rows, columns `names`) and log ratios to the base time, shape (rows,)."""
    share = _GP_SHARES.get(regressor, _FEW_ROWS_GP_SHARE)
    return fit_regressor(features, names, target, TIME_SETTINGS, share, seed, surveyed)
