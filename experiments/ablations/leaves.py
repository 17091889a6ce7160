"""Leaf models with a part taken out, for `irene.predictor.training.fit(..., fit_leaves=...)`."""

from __future__ import annotations

import re
from dataclasses import fields, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from irene.hardware.spec import DeviceSpec
from irene.leaves.columns.attention_waves import attention_wave_names
from irene.leaves.columns.library_tiles import LIBRARY_TILES
from irene.leaves.columns.tile_times import tile_time_names
from irene.leaves.kernel_sets import REGRESSORS
from irene.leaves.leaf_model import LeafModel, LeafValues, fit_leaf_model
from irene.leaves.leaf_table import LeafTable, matrix_names
from irene.leaves.power.activity import fit_rate_power
from irene.leaves.power.what_it_sees import power_matrix, power_names
from irene.leaves.regressor import Regressor
from irene.predictor.training import fit_leaf_ensembles
from irene.predictor.training_data import PrimitiveData

FloatArray = NDArray[np.float64]
_CANDIDATES = {"gemm": (*tile_time_names(), *LIBRARY_TILES), "attention": attention_wave_names()}
_FEWEST_TIMINGS = 20  # as for ensembles
_RATES = ("log2_half_tflop_per_s", "log2_other_tflop_per_s", "log2_tb_per_s", "log2_burst_us")
_RIDGE = 1.0  # of standardised terms; not tuned


def own_columns(regressor: str) -> NDArray[np.int64]:
    """The columns of `LeafTable.matrix` that are not a candidate kernel's tiles or waves."""
    candidates = _CANDIDATES.get(regressor.partition("-")[0], ())
    return np.array([at for at, name in enumerate(matrix_names(regressor)) if name not in candidates])


class BlindTable(LeafTable):
    """A table that does not know what candidates of tiles and waves would take."""

    def matrix(self, regressor: str, members: NDArray[np.int64]) -> FloatArray:
        return LeafTable.matrix(self, regressor, members)[:, own_columns(regressor)]

    def names_of(self, regressor: str) -> tuple[str, ...]:
        return tuple(LeafTable.names_of(self, regressor)[at] for at in own_columns(regressor))


def fit_blind_leaves(data: PrimitiveData, spec: DeviceSpec, seed: int) -> LeafModel:
    """Ensembles without the candidates' columns. Power and the sustained ratio never had them."""
    timed = _recast(data.timed, BlindTable)
    times = (data.timed_s, data.metered, data.metered_s, data.metered_w, data.burst_s)
    return fit_leaf_model(timed, *times, spec, seed)


def fit_tree_leaves(data: PrimitiveData, spec: DeviceSpec, seed: int) -> LeafModel:
    """Boosted trees alone, without the Gaussian process beside them."""
    return _with_gp_share(fit_leaf_ensembles(data, spec, seed), 0.0)


def fit_gp_leaves(data: PrimitiveData, spec: DeviceSpec, seed: int) -> LeafModel:
    """The Gaussian process alone; trees still tell it which columns matter."""
    return _with_gp_share(fit_leaf_ensembles(data, spec, seed), 1.0)


def _with_gp_share(model: LeafModel, share: float) -> LeafModel:
    def change(regressor: Regressor) -> Regressor:
        return replace(regressor, ensemble=replace(regressor.ensemble, gp_share=share))

    return replace(
        model,
        time={name: change(regressor) for name, regressor in model.time.items()},
        power=change(model.power),
        dedicated_power={name: change(regressor) for name, regressor in model.dedicated_power.items()},
        sustained_ratio=change(model.sustained_ratio),
    )


class UncappedLeaves(LeafModel):
    """Every leaf takes the time of a short burst with clocks up, in its own loop and in a whole."""

    def predict(self, table: LeafTable) -> LeafValues:
        values = LeafModel.predict(self, table)
        return LeafValues(self.predict_burst_s(table), values.power_w, np.ones_like(values.slowing))


def fit_uncapped_leaves(data: PrimitiveData, spec: DeviceSpec, seed: int) -> LeafModel:
    return _recast(fit_leaf_ensembles(data, spec, seed), UncappedLeaves)


class Linear:
    """A linear regression in the place of an ensemble: products of two log sizes, and every column as it is.

    Held at the edge of its targets, as trees are: a polynomial would leave the data in both directions.
    """

    def __init__(self, features: FloatArray, target: FloatArray, sizes: NDArray[np.int64]) -> None:
        others = np.setdiff1d(np.arange(features.shape[1]), sizes)
        squares: Pipeline = make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False))
        terms = ColumnTransformer([("sizes", squares, sizes), ("others", "passthrough", others)])
        self.model = make_pipeline(terms, StandardScaler(), Ridge(alpha=_RIDGE)).fit(features, target)
        self.lowest, self.highest = float(target.min()), float(target.max())

    def predict(self, features: FloatArray, names: tuple[str, ...]) -> FloatArray:
        if not len(features):
            return np.empty(0)
        return np.clip(self.model.predict(features), self.lowest, self.highest)


class LinearLeaves(LeafModel):
    def predict_burst_s(self, table: LeafTable) -> FloatArray:
        return LeafModel.predict_burst_s(self, _recast(table, BlindTable))


def fit_linear_leaves(data: PrimitiveData, spec: DeviceSpec, seed: int) -> LeafModel:
    """Linear regressions on the same targets: log of time over physics, of power, of the sustained ratio."""
    timed = _recast(data.timed, BlindTable)
    time = {}
    for name in REGRESSORS:
        members = np.flatnonzero((np.array(timed.regressors) == name) & timed.launches)
        if len(members) >= _FEWEST_TIMINGS:
            target = np.log(data.timed_s[members] / timed.base_s[members])
            names = timed.names_of(name)
            # Sizes of the call, not those of tiles ("log2_waves_64x64").
            sizes = [
                at for at, column in enumerate(names) if column.startswith("log2_") and not re.search(r"\dx\d", column)
            ]
            time[name] = Linear(timed.matrix(name, members), target, np.array(sizes))
    by_rates = fit_rate_power(data.metered, data.burst_s, data.metered_w, spec)
    by_rates_w = by_rates.power_w(data.metered, data.burst_s)
    seen = power_matrix(data.metered, data.burst_s, by_rates_w)
    rates = np.array([power_names().index(name) for name in _RATES])
    power = Linear(seen, np.log(data.metered_w / by_rates_w), rates)
    sustained_ratio = Linear(seen, np.log(data.metered_s / data.burst_s), rates)
    return LinearLeaves(time, by_rates, power, {}, sustained_ratio, spec.context_idle_power_w, spec.power_cap_w)  # type: ignore[arg-type]


def _recast(value, kind):  # type: ignore[no-untyped-def]
    """The same fields as another class."""
    return kind(**{field.name: getattr(value, field.name) for field in fields(value) if field.init})
