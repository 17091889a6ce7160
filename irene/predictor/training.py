"""Measured rows -> a Predictor: leaves first, then the host, the weights of aggregation, and honest intervals.

Everything above the leaves is fitted on out-of-fold leaf predictions: of a module or model by regressors that have seen
nothing that only its fold of families launches, of a primitive by regressors that have not seen its site. So errors are
those of a new architecture, not those of one that was learned by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from irene import __version__
from irene.errors import BadDataset
from irene.hardware.spec import DeviceSpec, load_device
from irene.leaves.leaf_model import LeafModel, LeafValues, fit_leaf_model
from irene.leaves.leaf_table import LeafTable, join_tables
from irene.leaves.smooth_regressor import one_thread
from irene.leaves.survey import Survey, fit_largest_first, fit_surveyed
from irene.predictor.aggregation import AggregationCase, Weights, fit_weights, weight_features
from irene.predictor.domain import make_domain
from irene.predictor.expert_loads import TYPICAL_LOADS, RouterLoads, deal_unevenly, without_idle
from irene.predictor.host_model import HostModel, make_host_model
from irene.predictor.intervals import WITH_RUNTIME, Intervals, calibrate
from irene.predictor.placement import Placement, place_leaves
from irene.predictor.prediction import PredictorInfo
from irene.predictor.predictor import Predictor
from irene.predictor.runtime import RuntimeModel, WatchedRun, fit_runtime, watch_run
from irene.predictor.shared_clock import share_clock
from irene.predictor.training_data import (
    FAMILY_FOLDS,
    SITE_FOLDS,
    MeasuredWhole,
    PrimitiveData,
    family_fold,
    gather_primitives,
    gather_wholes,
    site_folds,
)

if TYPE_CHECKING:
    import pandas as pd

FitLeaves: TypeAlias = Callable[[PrimitiveData, DeviceSpec, int], LeafModel]
# GPU utilisation over the window: below the first the host alone decides the time; up to the second both do.
_HOST_BOUND_PCT, _GPU_BOUND_PCT = 70.0, 85.0


def fit_blended_leaves(data: PrimitiveData, spec: DeviceSpec, seed: int) -> LeafModel:
    """The leaf regressors that irene ships: trees and Gaussian processes on the ratio to physics."""
    surveyed = fit_surveyed(data.survey, seed) if data.survey else {}
    return fit_leaf_model(
        data.timed, data.timed_s, data.metered, data.metered_s, data.metered_w, data.burst_s, spec, seed, surveyed
    )


def fit(
    rows: pd.DataFrame, seed: int = 0, device: str = "h200", fit_leaves: FitLeaves = fit_blended_leaves,
    survey: Survey | None = None,
) -> Predictor:  # fmt: skip
    """Fit a predictor on rows as `irene.dataset.store.load_rows` gives them (any subset of them, in any order).

    `survey` is what `gather_survey` found beside them. All above the leaves is fitted on what `fit_leaves` makes.
    Raises BadDataset if there is too little to learn from.
    """
    spec = load_device(device)
    primitives = replace(gather_primitives(rows, spec), survey=survey)
    wholes = gather_wholes(rows, spec)
    family_folds = sorted({family_fold(whole.family) % FAMILY_FOLDS for whole in wholes})
    data = [
        *(primitives.without_site_fold(fold) for fold in range(SITE_FOLDS)),
        *(primitives.without_family_fold(fold) for fold in family_folds),
        primitives,
    ]
    # The libraries that fit let go of Python's lock. The limit is set once around both threads: one that left its own
    # would lift it for the other, whose sums would then come in another order.
    with one_thread(), ThreadPoolExecutor(2) as pool:
        fit_largest_first([each.survey for each in (*data[:SITE_FOLDS], primitives) if each.survey is not None], seed)
        # The last is the largest, and alone at the end it would leave a core idle.
        fitted = list(pool.map(lambda some: fit_leaves(some, spec, seed), reversed(data)))[::-1]
    by_site, leaves = fitted[:SITE_FOLDS], fitted[-1]
    by_family = dict(zip(family_folds, fitted[SITE_FOLDS:-1], strict=True))
    # What is learned of wholes is learned from them as they ran; a prediction knows nothing of how routers will deal.
    ran = _predict_wholes(by_family, wholes, [whole.loads for whole in wholes])
    dealt = [at for at, whole in enumerate(wholes) if whole.loads != TYPICAL_LOADS]
    as_typical = _predict_wholes(by_family, [wholes[at] for at in dealt], [TYPICAL_LOADS] * len(dealt))
    differing = dict(zip(dealt, as_typical, strict=True))
    unknown = [differing.get(at, values) for at, values in enumerate(ran)]
    host = _fit_host(rows, primitives, wholes)
    cases = _aggregation_cases(wholes, ran, host, spec)
    weights = _fit_weights_held_out(wholes, cases, spec)
    placed = _place_held_out(wholes, unknown, weights, host, spec)
    runs = _watch_runs(wholes, _place_held_out(wholes, ran, weights, host, spec), spec)
    counts = f"{len(primitives.timed.calls)} timed and {len(primitives.metered.calls)} metered primitives"
    return Predictor(
        info=PredictorInfo(f"irene-{spec.name}", __version__, f"{counts}, {len(wholes)} modules and models"),
        spec=spec,
        leaves=leaves,
        host=host,
        weights=fit_weights(cases, spec.context_idle_power_w),
        runtime=_fit_runtime(wholes, runs, spec),
        intervals=_calibrate(primitives, by_site, wholes, placed, runs, spec),
        domain=make_domain(primitives.timed, primitives.metered),
    )


def _predict_wholes(
    by_fold: Mapping[int, LeafModel], wholes: Sequence[MeasuredWhole], loads: Sequence[RouterLoads]
) -> list[LeafValues]:
    """The leaves of each whole, experts with its `loads`, by regressors that have not seen its fold of families."""
    values: dict[int, LeafValues] = {}
    for fold, leaves in by_fold.items():
        members = [at for at, whole in enumerate(wholes) if family_fold(whole.family) % FAMILY_FOLDS == fold]
        if not members:
            continue
        tables = [without_idle(wholes[at].leaves.table, loads[at]) for at in members]
        together = leaves.predict(join_tables(tables))  # at once: regressors are asked seldom
        ends = np.cumsum([len(table.calls) for table in tables])
        for at, table, alone in zip(members, tables, together.split(ends[:-1]), strict=True):
            values[at] = deal_unevenly(alone, table, loads[at])
    return [values[at] for at in range(len(wholes))]


def _fit_host(rows: pd.DataFrame, primitives: PrimitiveData, wholes: Sequence[MeasuredWhole]) -> HostModel:
    """Host costs per op as measured, times the factor that makes host-bound models right in the median."""
    costs_s = rows.attrs.get("host_costs_s") or {}
    if not costs_s:
        raise BadDataset("The rows carry no host costs (manifest.json of a collection); load them with load_rows.")
    tables = [primitives.timed, *(whole.leaves.table for whole in wholes)]
    launching = {c.op for table in tables for c, launches in zip(table.calls, table.launches, strict=True) if launches}
    host = make_host_model(costs_s, float(rows.attrs.get("module_call_s") or 0.0), launching)
    ratios: dict[str, list[float]] = {}
    for whole in wholes:
        is_eager_model = whole.level == "model" and whole.execution == "eager"
        if is_eager_model and whole.gpu_utilization_pct < _HOST_BOUND_PCT:
            ratio = whole.duration_s / float(host.issue_s(whole.leaves.flat).sum())
            ratios.setdefault(whole.family, []).append(ratio)
    if not ratios:
        return host
    return replace(host, factor=float(np.median([np.median(values) for values in ratios.values()])))


def _aggregation_cases(
    wholes: Sequence[MeasuredWhole], alone: Sequence[LeafValues], host: HostModel, spec: DeviceSpec
) -> list[AggregationCase]:
    """GPU-bound and captured wholes: where the host decides, they would teach the weights its noise."""
    cases: list[AggregationCase] = []
    for whole, values in zip(wholes, alone, strict=True):
        if whole.execution == "eager" and whole.gpu_utilization_pct < _GPU_BOUND_PCT:
            continue
        counts = whole.leaves.counts
        issue_s = float(host.issue_s(whole.leaves.flat).sum()) if whole.execution == "eager" else 0.0
        running = share_clock(values, counts, issue_s, spec)
        cases.append(
            AggregationCase(
                features=weight_features(whole.leaves.table, values, whole.execution),
                counts=counts,
                launches=whole.leaves.table.launches.astype(np.float64),
                leaf_energy_j=running.energy_j,
                leaf_duration_s=running.duration_s,
                measured_energy_j=whole.energy_j,
                measured_duration_s=whole.duration_s,
                family=whole.family,
                issue_s=issue_s,
            )
        )
    return cases


def _fit_weights_held_out(
    wholes: Sequence[MeasuredWhole], cases: Sequence[AggregationCase], spec: DeviceSpec
) -> dict[str, Weights]:
    """For each family of the wholes, weights fitted on all cases but its own."""
    return {
        family: fit_weights([case for case in cases if case.family != family], spec.context_idle_power_w)
        for family in sorted({whole.family for whole in wholes})
    }


def _place_held_out(
    wholes: Sequence[MeasuredWhole], alone: Sequence[LeafValues], weights: Mapping[str, Weights], host: HostModel,
    spec: DeviceSpec,
) -> list[Placement]:  # fmt: skip
    """Each whole as predicted without its family: neither its leaves nor the weights have seen it."""
    return [
        place_leaves(whole.leaves, values, weights[whole.family], host, whole.execution, spec)
        for whole, values in zip(wholes, alone, strict=True)
    ]


def _watch_runs(
    wholes: Sequence[MeasuredWhole], placed: Sequence[Placement], spec: DeviceSpec
) -> list[WatchedRun | None]:
    """Each whole's run beside what was predicted of it; None where none was watched."""
    return [
        None if whole.run is None else watch_run(placement, whole.run, whole.execution, spec)
        for whole, placement in zip(wholes, placed, strict=True)
    ]


def _fit_runtime(
    wholes: Sequence[MeasuredWhole], runs: Sequence[WatchedRun | None], spec: DeviceSpec, without: str = ""
) -> RuntimeModel:
    """On every whole whose run was watched, but for those of the family `without`."""
    pairs = zip(wholes, runs, strict=True)
    chosen = [(run, whole.energy_j) for whole, run in pairs if run is not None and whole.family != without]
    return fit_runtime([run for run, _ in chosen], [energy_j for _, energy_j in chosen], spec)


def _calibrate(
    primitives: PrimitiveData, held_out: Sequence[LeafModel], wholes: Sequence[MeasuredWhole],
    placed: Sequence[Placement], runs: Sequence[WatchedRun | None], spec: DeviceSpec,
) -> Intervals:  # fmt: skip
    """Errors on what was not learned from: primitives by site, wholes by family, as `placed` or as they ran."""
    predicted_j = _predict_out_of_fold(held_out, primitives.metered).energy_j
    errors = np.log(predicted_j / (primitives.metered_s * primitives.metered_w))
    regime_errors: list[tuple[str, float]] = []
    for family in sorted({whole.family for whole in wholes}):
        runtime = _fit_runtime(wholes, runs, spec, without=family)
        for whole, placement, run in zip(wholes, placed, runs, strict=True):
            if whole.family != family:
                continue
            total_j = float(placement.energy_j.sum())
            regime_errors.append((placement.regime, float(np.log(total_j / whole.energy_j))))
            if run is not None:
                total_j = runtime.energy_j(run, spec)
                regime_errors.append((WITH_RUNTIME, float(np.log(total_j / whole.energy_j))))
    return calibrate(zip(primitives.metered.kinds, errors.tolist(), strict=True), regime_errors)


def _predict_out_of_fold(held_out: Sequence[LeafModel], table: LeafTable) -> LeafValues:
    """Each row by the model that has not seen its site."""
    folds = site_folds(table.calls)
    duration_s, power_w, slowing = np.zeros(len(folds)), np.zeros(len(folds)), np.ones(len(folds))
    for fold, model in enumerate(held_out):
        members = folds == fold
        if members.any():
            values = model.predict(table.take(members))
            duration_s[members], power_w[members] = values.duration_s, values.power_w
            slowing[members] = values.slowing
    return LeafValues(duration_s, power_w, slowing)
