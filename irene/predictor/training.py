"""Measured rows -> a Predictor: leaves first, then the host, the weights of aggregation, and honest intervals.

Everything above the leaves is fitted on out-of-fold leaf predictions: of a module or model by regressors that have seen
nothing that only its fold of families launches, of a primitive by regressors that have not seen its site. So errors are
those of a new architecture, not those of one that was learned by heart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from irene.account import GPU_BOUND_FROM_PCT
from irene.cores import count_cores
from irene.dataset.row_devices import find_device
from irene.errors import BadDataset
from irene.garbage import without_collections
from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_model import LeafModel, fit_leaf_model
from irene.leaves.learners.sparse_gp import one_thread
from irene.leaves.survey_prior import Survey, fit_surveyed, start_fits
from irene.predictor.aggregation import AggregationCase, Weights, fit_weights, weight_features
from irene.predictor.domain import make_domain
from irene.predictor.form_errors import hold_out_forms
from irene.predictor.host_model import HostModel, fit_to_models, make_host_model
from irene.predictor.intervals import WITH_RUNTIME, FormError, Intervals, calibrate
from irene.predictor.load_imbalance import TYPICAL_LOADS, RouterLoads
from irene.predictor.pipeline import PricedTable, price_tables
from irene.predictor.power_cap import share_clock
from irene.predictor.prediction import PredictorInfo
from irene.predictor.predictor import Predictor
from irene.predictor.runtime import RuntimeModel, WatchedRun, fit_runtime, watch_run
from irene.predictor.site_errors import hold_out_sites
from irene.predictor.steady_state import Placement, place_leaves
from irene.predictor.training_data import (
    FAMILY_FOLDS,
    SITE_FOLDS,
    MeasuredTree,
    PrimitiveData,
    family_fold,
    gather_primitives,
    gather_trees,
)
from irene.version import __version__

if TYPE_CHECKING:
    import pandas as pd

FitLeaves: TypeAlias = Callable[[PrimitiveData, DeviceSpec, int], LeafModel]
# GPU utilisation over the window: below it the host alone decides the time; from there to GPU_BOUND_FROM_PCT both do.
_HOST_ALONE_PCT = 70.0


def fit_leaf_ensembles(data: PrimitiveData, spec: DeviceSpec, seed: int) -> LeafModel:
    """The leaf regressors that irene ships: trees and Gaussian processes on the ratio to physics."""
    surveyed = fit_surveyed(data.survey, seed) if data.survey else {}
    return fit_leaf_model(
        data.timed, data.timed_s, data.metered, data.metered_s, data.metered_w, data.burst_s, spec, seed, surveyed
    )


def fit(
    rows: pd.DataFrame, seed: int = 0, device: str | None = None, fit_leaves: FitLeaves = fit_leaf_ensembles,
    survey: Survey | None = None,
) -> Predictor:  # fmt: skip
    """Fit a predictor on rows as `irene.dataset.store.load_rows` gives them (any subset of them, in any order).

    `survey` is what `gather_survey` found beside them. All above the leaves is fitted on what `fit_leaves` makes.
    `device` is by default that of the rows. Raises BadDataset for rows of another device, and for too few.
    """
    spec = find_device(rows, device)
    with without_collections():
        primitives = replace(gather_primitives(rows, spec), survey=survey)
    without_sites = [primitives.without_site_fold(fold) for fold in range(SITE_FOLDS)]
    # The libraries that fit let go of Python's lock. The limit is set once around all threads: one that left its own
    # would lift it for the others, whose sums would then come in another order.
    with one_thread(), _threads() as pool:
        # A survey's fits need no tree, and take longest: they have the cores while trees are read.
        start_fits(pool, [each.survey for each in (*without_sites, primitives) if each.survey is not None], seed)
        of_forms = pool.submit(hold_out_forms, primitives.timed, primitives.timed_s, seed)
        with without_collections():
            trees = gather_trees(rows, spec)
        family_folds = sorted({family_fold(tree.family) % FAMILY_FOLDS for tree in trees})
        data = [*without_sites, *map(primitives.without_family_fold, family_folds), primitives]
        # The last is the largest, and alone at the end it would leave a core idle.
        fitted = list(pool.map(lambda some: fit_leaves(some, spec, seed), reversed(data)))[::-1]
        form_errors = of_forms.result()
    by_site, leaves = fitted[:SITE_FOLDS], fitted[-1]
    by_family = dict(zip(family_folds, fitted[SITE_FOLDS:-1], strict=True))
    # What is learned of trees is learned from them as they ran; a prediction knows no loads of experts.
    ran = _price_trees(by_family, trees, [tree.loads for tree in trees])
    routed = [at for at, tree in enumerate(trees) if tree.loads != TYPICAL_LOADS]
    as_typical = _price_trees(by_family, [trees[at] for at in routed], [TYPICAL_LOADS] * len(routed))
    differing = dict(zip(routed, as_typical, strict=True))
    unknown = [differing.get(at, costs) for at, costs in enumerate(ran)]
    host = _fit_host(rows, primitives, trees)
    cases = _aggregation_cases(trees, ran, host, spec)
    weights = _fit_weights_held_out(trees, cases, spec)
    placed = _place_held_out(trees, unknown, weights, host, spec)
    runs = _watch_runs(trees, _place_held_out(trees, ran, weights, host, spec), spec)
    counts = f"{len(primitives.timed.calls)} timed and {len(primitives.metered.calls)} metered primitives"
    return Predictor(
        info=PredictorInfo(f"irene-{spec.name}", __version__, f"{counts}, {len(trees)} modules and models"),
        spec=spec,
        leaves=leaves,
        host=host,
        weights=fit_weights(cases, spec.context_idle_power_w),
        runtime=_fit_runtime(trees, runs, spec),
        intervals=_calibrate(primitives, by_site, trees, placed, runs, form_errors, spec),
        domain=make_domain(primitives.timed, primitives.metered),
    )


@contextmanager
def _threads() -> Iterator[ThreadPoolExecutor]:
    """A thread a core; after an error no job begins that has not begun."""
    pool = ThreadPoolExecutor(count_cores())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _price_trees(
    by_fold: Mapping[int, LeafModel], trees: Sequence[MeasuredTree], loads: Sequence[RouterLoads]
) -> list[PricedTable]:
    """The leaves of each tree, experts with its `loads`, by regressors that have not seen its fold of families."""
    priced: dict[int, PricedTable] = {}
    for fold, regressors in by_fold.items():
        members = [at for at, tree in enumerate(trees) if family_fold(tree.family) % FAMILY_FOLDS == fold]
        tables = [trees[at].leaves.table for at in members]
        own = [[loads[at]] * len(table.calls) for at, table in zip(members, tables, strict=True)]
        found = price_tables(regressors, tables, own)
        priced.update(zip(members, found, strict=True))
    return [priced[at] for at in range(len(trees))]


def _fit_host(rows: pd.DataFrame, primitives: PrimitiveData, trees: Sequence[MeasuredTree]) -> HostModel:
    """Host costs per op as measured, scaled to what host-bound models take."""
    costs_s = rows.attrs.get("host_costs_s") or {}
    if not costs_s:
        raise BadDataset("The rows carry no host costs (manifest.json of a collection); load them with load_rows.")
    tables = [primitives.timed, *(tree.leaves.table for tree in trees)]
    launching = {c.op for table in tables for c, launches in zip(table.calls, table.launches, strict=True) if launches}
    host = make_host_model(costs_s, float(rows.attrs.get("module_call_s") or 0.0), launching)
    waiting = [
        tree for tree in trees
        if tree.level == "model" and tree.execution == "eager" and tree.gpu_utilization_pct < _HOST_ALONE_PCT
    ]  # fmt: skip
    flat = [tree.leaves.flat for tree in waiting]
    factor, call_s = fit_to_models(
        [float(host.issue_s(each).sum()) for each in flat], [len(each.leaf_index) for each in flat],
        [tree.duration_s for tree in waiting], [tree.family for tree in waiting],
    )  # fmt: skip
    return replace(host, factor=factor, call_s=call_s)


def _aggregation_cases(
    trees: Sequence[MeasuredTree], priced: Sequence[PricedTable], host: HostModel, spec: DeviceSpec
) -> list[AggregationCase]:
    """GPU-bound and captured trees: where the host decides, they would teach the weights its noise."""
    cases: list[AggregationCase] = []
    for tree, costs in zip(trees, priced, strict=True):
        if tree.execution == "eager" and tree.gpu_utilization_pct < GPU_BOUND_FROM_PCT:
            continue
        counts = tree.leaves.counts
        issue_s = float(host.issue_s(tree.leaves.flat).sum()) if tree.execution == "eager" else 0.0
        running = share_clock(costs.alone, counts, issue_s, spec)
        cases.append(
            AggregationCase(
                features=weight_features(costs.table, costs.alone, tree.execution),
                counts=counts,
                launches=costs.table.launches.astype(np.float64),
                leaf_energy_j=running.energy_j,
                leaf_duration_s=running.duration_s,
                measured_energy_j=tree.energy_j,
                measured_duration_s=tree.duration_s,
                family=tree.family,
                issue_s=issue_s,
            )
        )
    return cases


def _fit_weights_held_out(
    trees: Sequence[MeasuredTree], cases: Sequence[AggregationCase], spec: DeviceSpec
) -> dict[str, Weights]:
    """For each family of the trees, weights fitted on all cases but its own."""
    return {
        family: fit_weights([case for case in cases if case.family != family], spec.context_idle_power_w)
        for family in sorted({tree.family for tree in trees})
    }


def _place_held_out(
    trees: Sequence[MeasuredTree], priced: Sequence[PricedTable], weights: Mapping[str, Weights], host: HostModel,
    spec: DeviceSpec,
) -> list[Placement]:  # fmt: skip
    """Each tree as predicted without its family: neither its leaves nor the weights have seen it."""
    return [
        place_leaves(costs.leaves_of(tree.leaves), costs.alone, weights[tree.family], host, tree.execution, spec)
        for tree, costs in zip(trees, priced, strict=True)
    ]


def _watch_runs(
    trees: Sequence[MeasuredTree], placed: Sequence[Placement], spec: DeviceSpec
) -> list[WatchedRun | None]:
    """Each tree's run beside what was predicted of it; None where none was watched."""
    return [
        None if tree.run is None else watch_run(placement, tree.run, tree.execution, spec)
        for tree, placement in zip(trees, placed, strict=True)
    ]


def _fit_runtime(
    trees: Sequence[MeasuredTree], runs: Sequence[WatchedRun | None], spec: DeviceSpec, without: str = ""
) -> RuntimeModel:
    """On every tree whose run was watched, but for those of the family `without`."""
    pairs = zip(trees, runs, strict=True)
    chosen = [(run, tree.energy_j) for tree, run in pairs if run is not None and tree.family != without]
    return fit_runtime([run for run, _ in chosen], [energy_j for _, energy_j in chosen], spec)


def _calibrate(
    primitives: PrimitiveData, held_out: Sequence[LeafModel], trees: Sequence[MeasuredTree],
    placed: Sequence[Placement], runs: Sequence[WatchedRun | None],
    form_errors: Sequence[FormError], spec: DeviceSpec,
) -> Intervals:  # fmt: skip
    """Errors on what was not learned from: primitives by site, trees by family, as `placed` or as they ran."""
    regime_errors: list[tuple[str, float]] = []
    for family in sorted({tree.family for tree in trees}):
        runtime = _fit_runtime(trees, runs, spec, without=family)
        for tree, placement, run in zip(trees, placed, runs, strict=True):
            if tree.family != family:
                continue
            total_j = float(placement.energy_j.sum())
            regime_errors.append((placement.regime, float(np.log(total_j / tree.energy_j))))
            if run is not None:
                total_j = runtime.energy_j(run, spec)
                regime_errors.append((WITH_RUNTIME, float(np.log(total_j / tree.energy_j))))
    return calibrate(hold_out_sites(primitives, held_out), regime_errors, form_errors)
