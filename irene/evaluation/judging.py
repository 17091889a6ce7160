"""A predictor and rows that it has not seen -> judged cases: measured beside predicted, one row a case.

A case is judged once, however often it was measured: by the median of its repeats in a collection, then by the median
over collections (cards). Energy is judged on windows; the time of primitives on the rows of CUDA events too, apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from irene.arrays import FloatArray
from irene.dataset.store import label_cases
from irene.evaluation.baselines import count_case_work, fit_flop_proportional, power_cap_roofline_j
from irene.hardware.spec import DeviceSpec
from irene.model_tree.tree import ModelTree
from irene.predictor.prediction import Prediction
from irene.predictor.runtime import RuntimeFeatures
from irene.predictor.training_data import median_run, read_tree
from irene.primitives.call import Call, read_signature
from irene.primitives.kinds import kind_of, launches_kernel

Floats = FloatArray
_MEASURED = (
    "energy_j", "duration_s", "power_w", "gpu_utilization_pct", "sm_clock_hz", "busy_experts_pct",
    "expert_load_deviation",
)  # fmt: skip
_PREDICTED = (
    "predicted_energy_j", "predicted_duration_s", "low_j", "high_j", "sum_of_leaves_j", "predicted_wait_j",
    "watched_energy_j", "watched_low_j", "watched_high_j",
)  # fmt: skip
_KEPT = (
    "level", "method", "case", "name", "model", "path", "task", "dtype", "execution", "weights", "batch_size",
    "seq_len", "decoder_seq_len", "families", "signature", "gpu_utilization_pct", "sm_clock_hz", "flop", "roofline_s",
    "runs",
)  # fmt: skip


class Leaves(Protocol):
    """What `predict_primitives` returns: arrays with one value a call."""

    @property
    def duration_s(self) -> Floats: ...
    @property
    def burst_s(self) -> Floats: ...
    @property
    def energy_j(self) -> Floats: ...
    @property
    def low_j(self) -> Floats: ...
    @property
    def high_j(self) -> Floats: ...


class Judged(Protocol):
    """What can be judged; `irene.predictor.training.Predictor` is one."""

    def predict(self, tree: ModelTree, run: RuntimeFeatures | None = None) -> Prediction: ...
    def sum_of_leaves_j(self, tree: ModelTree) -> float: ...
    def predict_primitives(self, calls: Sequence[Call], dtypes: Sequence[str], weights: Sequence[str]) -> Leaves: ...


def judge(predictor: Judged, rows: pd.DataFrame, training_rows: pd.DataFrame, spec: DeviceSpec) -> pd.DataFrame:
    """Judged cases of `rows`: what was measured, what is predicted, and what the baselines say.

    Columns beside those that describe the case: `runs` (the most that one collection has), `kind` (of a primitive),
    `flop`, `roofline_s`, and `measured_` and `predicted_` of `energy_j`, `duration_s`, `power_w`; `low_j`, `high_j`;
    `inside_share`, of the collections (cards) those whose own median lies between the two (an interval is for one card;
    NaN where no energy was measured);
    the baselines `power_cap_roofline_j`, `flop_proportional_j` (fitted on `training_rows` alone) and `sum_of_leaves_j`
    (modules and models). Rows of CUDA events have times alone: those of a burst, before the power cap takes clocks
    away, so they are compared with the burst time that is predicted. Reference calls are left out, and calls that
    launch nothing: their time is no time.
    Of modules and models also `predicted_bound` and `predicted_wait_j` (the launch gap): what a prediction says of the
    regime; and `watched_` of `energy_j`, `low_j`, `high_j`: what is predicted where the run was watched (time, clock,
    loads of experts) but not metered. All are empty for primitives.
    """
    cases = count_case_work(_label_once(rows), spec)
    calls = [read_signature(text) if text else None for text in cases["signature"]]
    works = np.array([call is None or launches_kernel(call) for call in calls], dtype=bool)
    cases, calls = cases[works].reset_index(drop=True), [c for c, kept in zip(calls, works, strict=True) if kept]
    judged = cases[list(_KEPT)].copy()
    for name in ("energy_j", "duration_s", "power_w"):
        judged[f"measured_{name}"] = cases[name].astype(float)
    judged["kind"] = ["" if call is None else kind_of(call) for call in calls]
    primitive = (cases["level"] == "primitive").to_numpy()
    predicted = np.full((len(cases), len(_PREDICTED)), np.nan)
    bounds = [""] * len(cases)
    if primitive.any():
        asked = cases[primitive]
        leaves = predictor.predict_primitives([c for c in calls if c], list(asked["dtype"]), list(asked["weights"]))
        burst = (asked["method"] == "events").to_numpy()
        duration_s = np.where(burst, leaves.burst_s, leaves.duration_s)
        predicted[primitive, :4] = np.stack([leaves.energy_j, duration_s, leaves.low_j, leaves.high_j], axis=1)
    for index in np.flatnonzero(~primitive):
        tree = read_tree(cases["tree"].iloc[index])
        *predicted[index], bounds[index] = _predict_tree(predictor, tree, median_run(cases.iloc[index : index + 1]))
    for place, name in enumerate(_PREDICTED):
        judged[name] = predicted[:, place]
    judged["inside_share"] = [
        np.mean([low_j <= energy_j <= high_j for energy_j in each if not np.isnan(energy_j)] or np.nan)
        for each, low_j, high_j in zip(cases["energies_j"], judged["low_j"], judged["high_j"], strict=True)
    ]
    judged["predicted_bound"] = bounds
    judged["predicted_power_w"] = judged["predicted_energy_j"] / judged["predicted_duration_s"]
    judged["power_cap_roofline_j"] = power_cap_roofline_j(judged, spec)
    taught = count_case_work(training_rows, spec)
    judged["flop_proportional_j"] = fit_flop_proportional(taught).predict_j(judged)
    return judged


def _predict_tree(predictor: Judged, tree: ModelTree, run: RuntimeFeatures | None) -> list[Any]:
    """Values in the order of _PREDICTED, and the bound."""
    prediction = predictor.predict(tree)
    watched = (np.nan,) * 3
    if run is not None:
        known = predictor.predict(tree, run)
        watched = (known.energy_j, *known.interval_j)
    wait_j, sum_j = prediction.breakdown_j["launch_gap"], predictor.sum_of_leaves_j(tree)
    own = (prediction.energy_j, prediction.duration_s, *prediction.interval_j)
    return [*own, sum_j, wait_j, *watched, prediction.bound]


def _label_once(rows: pd.DataFrame) -> pd.DataFrame:
    """One row a (case, method): the median over collections of the medians over repeats, `energies_j` all of these."""
    labels = label_cases(rows)
    groups = labels.groupby(["case", "method"], sort=False)
    cases = groups.head(1).set_index(["case", "method"])
    medians = groups[list(_MEASURED)].median()
    for name in _MEASURED:
        cases[name] = medians[name]
    cases["runs"] = groups["repeats"].max()
    cases["energies_j"] = groups["energy_j"].agg(tuple)
    return cases.reset_index()
