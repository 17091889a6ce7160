"""What one primitive costs alone: time first, then power, each a learned ratio to physics.

time = base / utilisation: XGBoost on the log ratio, one regressor for each feature family, taught by the many cheap
timings. Power comes from what the kernel achieves (FLOP/s, bytes/s), taught by the fewer windows with energy; so does
the stretch from a burst's time to the sustained time under the power cap. Energy = power x sustained time.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irene.hardware.spec import DeviceSpec
from irene.predictor.leaf_table import HALF_DTYPES, REGRESSORS, FloatArray, LeafTable
from irene.primitives.kinds import KINDS

if TYPE_CHECKING:
    import xgboost

_TIME_SETTINGS: dict[str, Any] = {
    "n_estimators": 500, "max_depth": 6, "learning_rate": 0.06, "max_bin": 64, "subsample": 0.8,
    "colsample_bytree": 0.5, "min_child_weight": 2.0,
}  # fmt: skip
_POWER_SETTINGS: dict[str, Any] = {
    "n_estimators": 250, "max_depth": 4, "learning_rate": 0.05, "subsample": 0.8, "colsample_bytree": 0.7,
    "min_child_weight": 2.0,
}  # fmt: skip
_FITTED: OrderedDict[str, xgboost.Booster] = OrderedDict()
_MOST_FITTED = 150  # a megabyte or two each
# Outside the data a tree holds its edge value; these keep a ratio from ever leaving physics altogether.
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
    """Fitted regressors: `time` by the names in REGRESSORS; `power` and `stretch` over all of them."""

    time: dict[str, xgboost.Booster]
    power: xgboost.Booster
    stretch: xgboost.Booster
    idle_power_w: float
    power_cap_w: float

    def predict(self, table: LeafTable) -> LeafValues:
        """Sustained time and power of every row; rows that launch no kernel cost nothing here."""
        burst_s = self.predict_burst_s(table)
        seen = power_matrix(table, np.maximum(burst_s, 1e-9))
        power_w = np.clip(np.exp(_run(self.power, seen)), self.idle_power_w, self.power_cap_w)
        stretch = np.exp(_run(self.stretch, seen))
        capped = table.launches & (power_w > _CAPPED_SHARE * self.power_cap_w)
        slowing = np.where(capped, np.maximum(stretch, 1.0), 1.0)
        silent = ~table.launches
        return LeafValues(np.where(silent, 0.0, burst_s * stretch), np.where(silent, 0.0, power_w), slowing)

    def predict_burst_s(self, table: LeafTable) -> FloatArray:
        """Seconds of a call in a short burst, clocks up: what CUDA events measure."""
        duration_s = table.base_s.copy()
        for name, regressor in self.time.items():
            members = _members(table, name)
            if len(members):
                ratio = np.clip(_run(regressor, table.matrix(name, members)), -_MAX_LOG_RATIO, _MAX_LOG_RATIO)
                duration_s[members] *= np.exp(ratio)
        return np.where(table.launches, duration_s, 0.0)


def fit_leaf_model(
    timed: LeafTable, timed_s: FloatArray, metered: LeafTable, metered_s: FloatArray, metered_w: FloatArray,
    burst_s: FloatArray, spec: DeviceSpec, seed: int = 0,
) -> LeafModel:  # fmt: skip
    """Fit time on `timed` (burst seconds); power and stretch on `metered` (window seconds, watts, burst seconds)."""
    time = {}
    for name in REGRESSORS:
        members = _members(timed, name)
        if len(members) >= 20:
            target = np.log(timed_s[members] / timed.base_s[members])
            time[name] = _fit(timed.matrix(name, members), target, _TIME_SETTINGS, seed)
    seen = power_matrix(metered, burst_s)
    power = _fit(seen, np.log(metered_w), _POWER_SETTINGS, seed)
    stretch = _fit(seen, np.log(metered_s / burst_s), _POWER_SETTINGS, seed)
    return LeafModel(time, power, stretch, spec.context_idle_power_w, spec.power_cap_w)


def _members(table: LeafTable, regressor: str) -> NDArray[np.int64]:
    return np.flatnonzero((np.array(table.regressors, dtype=np.str_) == regressor) & table.launches)


def power_matrix(table: LeafTable, burst_s: FloatArray) -> FloatArray:
    """What the kernel achieves: rates in log2 of TFLOP/s and TB/s, by dtype, and its kind."""
    half = np.array([dtype in HALF_DTYPES for dtype in table.dtypes], dtype=np.float64)
    flop_rate = np.log2(np.maximum(table.matmul_flop, 1.0) / burst_s / 1e12 + 1e-3)
    byte_rate = np.log2(table.traffic_bytes / burst_s / 1e12 + 1e-3)
    columns = [
        flop_rate * half,
        flop_rate * (1 - half),
        byte_rate,
        np.log2(burst_s * 1e6),
        np.log2(table.traffic_bytes + 1.0),
        half,
        table.cold.astype(np.float64),
        *(np.array([k == kind for k in table.kinds], dtype=np.float64) for kind in KINDS),
    ]
    return np.column_stack(columns)


def _fit(features: FloatArray, target: FloatArray, settings: dict[str, Any], seed: int) -> xgboost.Booster:
    """Fitted once for the same numbers: folds that hold out the same rows of a kind have the same regressor."""
    import xgboost

    known = [str(features.shape).encode(), features.tobytes(), target.tobytes(), f"{settings} {seed}".encode()]
    key = hashlib.sha256(b"".join(known)).hexdigest()
    if key not in _FITTED:
        # One thread: sums in one order, so that the same rows give the same bytes on any machine.
        model = xgboost.XGBRegressor(**settings, random_state=seed, n_jobs=1, tree_method="hist")
        _FITTED[key] = model.fit(features, target).get_booster()
        while len(_FITTED) > _MOST_FITTED:
            _FITTED.popitem(last=False)
    _FITTED.move_to_end(key)
    return _FITTED[key]


def _run(booster: xgboost.Booster, features: FloatArray) -> FloatArray:
    values: FloatArray = np.asarray(booster.inplace_predict(features), dtype=np.float64)
    return values
