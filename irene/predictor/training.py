"""Measured rows -> a Predictor: leaves first, then the host, the weights of aggregation, and honest intervals.

Weights and intervals are fitted on leaf predictions that are out of fold by site: a leaf's regressors have not seen its
site, as they will not have seen those of a new architecture.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irene.errors import BadDataset
from irene.hardware.spec import DeviceSpec, load_device
from irene.model_tree.serialization import decompress_tree
from irene.predictor.aggregation import NEUTRAL, AggregationCase, Weights, fit_weights, weight_features
from irene.predictor.domain import make_domain
from irene.predictor.host_model import HostModel, make_host_model
from irene.predictor.intervals import Intervals, calibrate
from irene.predictor.leaf_model import LeafModel, LeafValues, fit_leaf_model
from irene.predictor.leaf_table import LeafTable, effective_dtype, fingerprint, make_table
from irene.predictor.prediction import PredictorInfo
from irene.predictor.predictor import Predictor, TreeLeaves, lay_out, regime_of, tabulate_leaves
from irene.primitives.call import Call
from irene.primitives.kinds import launches_kernel
from irene.primitives.sites import site_of_call

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
_SITE_FOLDS = 3
_HOST_BOUND_PCT = 70.0  # below it the host alone decides the time; up to 85 both do


@dataclass(frozen=True, slots=True, eq=False)
class _Whole:
    """A measured module or model with its leaves tabulated."""

    leaves: TreeLeaves
    execution: str
    family: str
    level: str
    energy_j: float
    duration_s: float
    gpu_utilization_pct: float


@dataclass(frozen=True, slots=True, eq=False)
class _Primitives:
    """Measured primitives: all that were timed, and those that were metered too, with the burst time of each."""

    timed: LeafTable
    timed_s: FloatArray
    metered: LeafTable
    metered_s: FloatArray
    metered_w: FloatArray
    burst_s: FloatArray

    def fit(self, spec: DeviceSpec, seed: int, without: int | None = None) -> LeafModel:
        """Fit on all, or without one fold of sites."""
        keep = _folds(self.timed.calls) != without
        keep_metered = _folds(self.metered.calls) != without
        return fit_leaf_model(
            _take(self.timed, keep), self.timed_s[keep], _take(self.metered, keep_metered), self.metered_s[keep_metered],
            self.metered_w[keep_metered], self.burst_s[keep_metered], spec, seed,
        )  # fmt: skip


def fit(rows: pd.DataFrame, seed: int = 0, device: str = "h200") -> Predictor:
    """Fit a predictor on rows as `irene.dataset.store.load_rows` gives them (any subset of them).

    Raises BadDataset if there is too little to learn from.
    """
    spec = load_device(device)
    primitives = _gather_primitives(rows, spec)
    wholes = _gather_wholes(rows, spec)
    leaf_model = primitives.fit(spec, seed)
    held_out = [primitives.fit(spec, seed, without=fold) for fold in range(_SITE_FOLDS)]
    out_of_fold = [_predict_out_of_fold(held_out, whole.leaves.table) for whole in wholes]
    host = _fit_host(rows, wholes, out_of_fold)
    weights = fit_weights(_aggregation_cases(wholes, out_of_fold, host, spec))
    intervals = _calibrate(primitives, held_out, wholes, out_of_fold, host, spec)
    domain = make_domain(primitives.timed, primitives.metered)
    counts = f"{len(primitives.timed.calls)} timed and {len(primitives.metered.calls)} metered primitives, {len(wholes)} modules and models"
    return Predictor(PredictorInfo("irene-h200", "0.1.0", counts), spec, leaf_model, host, weights, intervals, domain)


def _gather_primitives(rows: pd.DataFrame, spec: DeviceSpec) -> _Primitives:
    own = rows[(rows["level"] == "primitive") & ~rows["reference"].astype(bool)]
    burst: dict[str, tuple[Call, str, bool, list[float]]] = {}
    window: dict[str, tuple[Call, str, bool, list[tuple[float, float]]]] = {}
    for row in own.itertuples():
        call = Call.from_json(json.loads(str(row.signature)))
        dtype, cold = effective_dtype(call, str(row.dtype)), row.weights == "cold"
        key = fingerprint(call, dtype, cold)
        if row.method == "events":
            burst.setdefault(key, (call, dtype, cold, []))[3].append(float(row.duration_s))
        else:
            window.setdefault(key, (call, dtype, cold, []))[3].append((float(row.duration_s), float(row.power_w)))
    both = [key for key in sorted(window) if key in burst]
    if len(burst) < 50 or len(both) < 20:
        raise BadDataset(
            f"{len(burst)} timed and {len(both)} metered primitives are too few to fit a predictor; expected at least 50 "
            "and 20. Collect more with 'irene collect'."
        )
    keys = sorted(burst)
    medians = np.array([np.median(window[key][3], axis=0) for key in both])
    return _Primitives(
        _table([burst[key][:3] for key in keys], spec),
        np.array([np.median(burst[key][3]) for key in keys]),
        _table([window[key][:3] for key in both], spec),
        medians[:, 0],
        medians[:, 1],
        np.array([np.median(burst[key][3]) for key in both]),
    )


def _gather_wholes(rows: pd.DataFrame, spec: DeviceSpec) -> list[_Whole]:
    own = rows[rows["level"].isin(["module", "model"]) & ~rows["reference"].astype(bool)]
    wholes = []
    for (_, _), runs in own.groupby(["collection", "case"], sort=True):
        first = runs.iloc[0]
        leaves = tabulate_leaves(decompress_tree(str(first["tree"])), spec)
        medians = runs[["energy_j", "duration_s", "gpu_utilization_pct"]].median()
        wholes.append(
            _Whole(leaves, str(first["execution"]), str(first["families"]), str(first["level"]), *map(float, medians))
        )
    return wholes


def _fit_host(rows: pd.DataFrame, wholes: Sequence[_Whole], alone: Sequence[LeafValues]) -> HostModel:
    """Host costs per op as measured, times the factor that makes host-bound models right in the median."""
    costs_s = rows.attrs.get("host_costs_s") or {}
    if not costs_s:
        raise BadDataset("The rows carry no host costs (manifest.json of a collection); load them with load_rows.")
    launching = {call.op for whole in wholes for call in whole.leaves.table.calls if launches_kernel(call)}
    host = make_host_model(costs_s, float(rows.attrs.get("module_call_s") or 0.0), launching)
    bound = [w for w in wholes if w.execution == "eager" and w.gpu_utilization_pct < _HOST_BOUND_PCT and w.level == "model"]
    ratios: dict[str, list[float]] = {}
    for whole in bound:
        ratios.setdefault(whole.family, []).append(whole.duration_s / float(host.issue_s(whole.leaves.flat).sum()))
    if not ratios:
        return host
    factor = float(np.median([np.median(values) for values in ratios.values()]))
    return HostModel(host.costs_s, host.launch_s, host.view_s, host.module_s, factor)


def _aggregation_cases(
    wholes: Sequence[_Whole], alone: Sequence[LeafValues], host: HostModel, spec: DeviceSpec
) -> list[AggregationCase]:
    """GPU-bound and captured cases: where the host decides, they would teach the weights its noise."""
    cases = []
    for whole, values in zip(wholes, alone, strict=True):
        if whole.execution == "eager" and whole.gpu_utilization_pct < 85.0:
            continue
        counts = np.bincount(whole.leaves.row_of_leaf, minlength=len(whole.leaves.table.calls)).astype(np.float64)
        features = weight_features(whole.leaves.table, values.duration_s, whole.execution)
        cases.append(
            AggregationCase(
                features, counts, values.energy_j, values.duration_s, 0.0, whole.energy_j, whole.duration_s, whole.family,
                whole.level,
            )
        )  # fmt: skip
    return cases


def _calibrate(
    primitives: _Primitives, held_out: Sequence[LeafModel], wholes: Sequence[_Whole], alone: Sequence[LeafValues],
    host: HostModel, spec: DeviceSpec,
) -> Intervals:  # fmt: skip
    """Errors on what was not learned from: primitives by site, wholes by family (weights fitted without it)."""
    metered = _predict_out_of_fold(held_out, primitives.metered)
    measured_j = primitives.metered_s * primitives.metered_w
    kind_errors = list(zip(primitives.metered.kinds, np.log(metered.energy_j / measured_j).tolist(), strict=True))
    regime_errors: list[tuple[str, float]] = []
    for family in sorted({whole.family for whole in wholes}):
        others = [(w, a) for w, a in zip(wholes, alone, strict=True) if w.family != family]
        cases = _aggregation_cases([w for w, _ in others], [a for _, a in others], host, spec)
        weights = fit_weights(cases) if cases else NEUTRAL
        for whole, values in zip(wholes, alone, strict=True):
            if whole.family == family:
                energy_j, regime = predict_whole(whole.leaves, values, weights, host, whole.execution, spec)
                regime_errors.append((regime, float(np.log(energy_j / whole.energy_j))))
    return calibrate(kind_errors, regime_errors)


def predict_whole(
    leaves: TreeLeaves, alone: LeafValues, weights: Weights, host: HostModel, execution: str, spec: DeviceSpec
) -> tuple[float, str]:
    """Energy of a whole in J, and its regime: what `Predictor.predict` puts at the root."""
    features = weight_features(leaves.table, alone.duration_s, execution)
    timeline = lay_out(host, leaves, alone.duration_s * weights.of_duration(features), execution)
    busy_j = (alone.energy_j * weights.of_energy(features))[leaves.row_of_leaf].sum()
    return float(busy_j + spec.context_idle_power_w * timeline.gap_s.sum()), regime_of(execution, timeline)


def _predict_out_of_fold(held_out: Sequence[LeafModel], table: LeafTable) -> LeafValues:
    """Each row by the model that has not seen its site."""
    folds = _folds(table.calls)
    duration_s, power_w = np.zeros(len(table.calls)), np.zeros(len(table.calls))
    for fold, model in enumerate(held_out):
        members = folds == fold
        if members.any():
            values = model.predict(_take(table, members))
            duration_s[members], power_w[members] = values.duration_s, values.power_w
    return LeafValues(duration_s, power_w)


def _folds(calls: Sequence[Call]) -> NDArray[np.int64]:
    """The fold of each call's site: a hash that no run changes."""
    return np.array([zlib.crc32(repr(site_of_call(call)).encode()) % _SITE_FOLDS for call in calls], dtype=np.int64)


def _table(entries: Sequence[tuple[Call, str, bool]], spec: DeviceSpec) -> LeafTable:
    return make_table([e[0] for e in entries], [e[1] for e in entries], [e[2] for e in entries], spec)


def _take(table: LeafTable, keep: NDArray[np.bool_]) -> LeafTable:
    at = np.flatnonzero(keep)
    return LeafTable(
        tuple(table.calls[i] for i in at),
        tuple(table.dtypes[i] for i in at),
        table.cold[at],
        tuple(table.kinds[i] for i in at),
        tuple(table.families[i] for i in at),
        table.base_s[at],
        table.matmul_flop[at],
        table.flop[at],
        table.traffic_bytes[at],
        table.launches[at],
    )
