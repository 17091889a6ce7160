"""Runs that were watched: throttled ones draw the cap, others the predicted work over the measured time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from irene.errors import BadInput
from irene.hardware.devices import load_device
from irene.model_tree.serialization import decompress_tree
from irene.predictor.aggregation import NEUTRAL
from irene.predictor.load_imbalance import RouterLoads
from irene.predictor.predictor import Predictor
from irene.predictor.runtime import TERMS, RuntimeFeatures, RuntimeModel, fit_runtime, watch_run
from irene.predictor.steady_state import Placement, place_leaves
from irene.predictor.training_data import gather_trees
from tests.predictor.made_law import grouped, tree_of

SPEC = load_device("h200")
CLOCK_HZ = SPEC.max_sm_clock_hz


@pytest.mark.parametrize(
    "changed",
    [{"duration_s": 0.0}, {"duration_s": float("nan")}, {"duration_s": float("inf")}, {"sm_clock_hz": 1980.0},
     {"busy_experts_pct": 0.0}, {"expert_load_deviation": -1.0}],
)  # fmt: skip
def test_a_run_that_cannot_be(changed: dict[str, float]) -> None:
    run = {
        "duration_s": 1e-3, "sm_clock_hz": CLOCK_HZ, "busy_experts_pct": 30.0, "expert_load_deviation": 2.0
    }  # fmt: skip
    assert RuntimeFeatures(**run).loads == RouterLoads(0.3, 2.0)
    with pytest.raises(BadInput, match=next(iter(changed))):
        RuntimeFeatures(**run | changed)


def test_loads_come_whole_or_not_at_all() -> None:
    assert RuntimeFeatures(1e-3, CLOCK_HZ).loads == RouterLoads()
    with pytest.raises(BadInput, match="together"):
        RuntimeFeatures(1e-3, CLOCK_HZ, busy_experts_pct=30.0)


def place(fitted: Predictor, rows: pd.DataFrame) -> Placement:
    tree = gather_trees(rows, SPEC)[0]
    alone = fitted.leaves.predict(tree.leaves.table)
    return place_leaves(tree.leaves, alone, NEUTRAL, fitted.host, tree.execution, SPEC)


def test_the_measured_time_is_taken_and_shares_stay(fitted: Predictor, rows: pd.DataFrame) -> None:
    tree = decompress_tree(rows[rows["level"] == "model"]["tree"].iloc[0])
    alone = fitted.predict(tree)
    run = RuntimeFeatures(2 * alone.duration_s, CLOCK_HZ)
    known = fitted.predict(tree, run)
    assert known.duration_s == pytest.approx(run.duration_s)
    assert known.energy_j > alone.energy_j  # the host took twice as long, at idle power
    assert known.energy_j == pytest.approx(sum(known.breakdown_j.values()))
    assert known.interval_j[0] < known.energy_j < known.interval_j[1]
    shares = [p.node("block0").energy_j / p.energy_j for p in (alone, known)]
    assert shares[0] == pytest.approx(shares[1])


def test_a_clock_below_its_highest_means_the_cap(fitted: Predictor, rows: pd.DataFrame) -> None:
    tree = decompress_tree(rows[rows["level"] == "model"]["tree"].iloc[0])
    run = RuntimeFeatures(1e-3, 0.9 * CLOCK_HZ)
    assert fitted.predict(tree, run).power_w == pytest.approx(fitted.runtime.throttled_power_w)


def test_a_planted_correction_is_found_again(fitted: Predictor, rows: pd.DataFrame) -> None:
    """Independent: waiting that costs more than idle power, by a law, is learned from eighty runs."""
    placed, neutral = place(fitted, rows), RuntimeModel(700.0, 0.0, (0.0,) * len(TERMS))
    busy_s = float(placed.busy_s.sum())
    seen = [RuntimeFeatures(busy_s * longer, CLOCK_HZ) for longer in np.linspace(1.0, 3.0, 80)]
    runs = [watch_run(placed, run, "eager", SPEC) for run in seen]
    waiting = [run.terms[TERMS.index("waiting_share")] for run in runs]
    assert waiting[0] == pytest.approx(0.0) and waiting[-1] > 0.1
    measured = [neutral.energy_j(run, SPEC) * np.exp(0.2 * share) for run, share in zip(runs, waiting, strict=True)]
    found = fit_runtime(runs, measured, SPEC)
    np.testing.assert_allclose([found.energy_j(run, SPEC) for run in runs], measured, rtol=0.01)


def test_a_correction_has_bounds(fitted: Predictor, rows: pd.DataFrame) -> None:
    """Where a run is made of what no run was made of, a slope learned elsewhere does not run away."""
    run = watch_run(place(fitted, rows), RuntimeFeatures(1.0, CLOCK_HZ), "eager", SPEC)
    steep = RuntimeModel(700.0, 0.0, (0.0, 0.0, 5.0, *(0.0,) * (len(TERMS) - 3)))
    neutral = RuntimeModel(700.0, 0.0, (0.0,) * len(TERMS))
    assert steep.energy_j(run, SPEC) == pytest.approx(np.exp(0.3) * neutral.energy_j(run, SPEC))


def test_throttled_runs_say_what_the_cap_really_is(fitted: Predictor, rows: pd.DataFrame) -> None:
    throttled = watch_run(place(fitted, rows), RuntimeFeatures(1e-3, 0.9 * CLOCK_HZ), "eager", SPEC)
    capped = fit_runtime([throttled] * 40, [650.0 * throttled.duration_s] * 40, SPEC)
    assert capped.throttled_power_w == pytest.approx(650.0)


def test_running_faster_and_waiting_are_told_apart(fitted: Predictor, rows: pd.DataFrame) -> None:
    """Independent: faster kernels cost less energy by a law, waiting costs what it was predicted to."""
    placed, neutral = place(fitted, rows), RuntimeModel(700.0, 0.0, (0.0,) * len(TERMS))
    busy_s = float(placed.busy_s.sum())
    longer = np.exp(np.concatenate([np.linspace(-0.4, 0.0, 200), np.linspace(0.0, 1.4, 200)]))
    seen = [RuntimeFeatures(float(busy_s * factor), CLOCK_HZ) for factor in longer]
    runs = [watch_run(placed, run, "eager", SPEC) for run in seen]
    predicted = np.array([neutral.energy_j(run, SPEC) for run in runs])
    measured = predicted * np.minimum(longer, 1.0) ** 0.5
    found = fit_runtime(runs, measured.tolist(), SPEC)
    np.testing.assert_allclose([found.energy_j(run, SPEC) for run in runs], measured, rtol=0.015)


def test_parts_of_the_energy_and_the_waiting_are_all_of_it(fitted: Predictor, rows: pd.DataFrame) -> None:
    """The rest, which no term names, is what products in 16 bits make of it."""
    placed = place(fitted, rows)
    run = watch_run(placed, RuntimeFeatures(2 * float(placed.busy_s.sum()), CLOCK_HZ), "eager", SPEC)
    named = dict(zip(TERMS, run.terms, strict=True))
    table = placed.leaves.table
    in_half = np.array([k == "gemm" and d == "bfloat16" for k, d in zip(table.kinds, table.dtypes, strict=True)])
    half_j = float(placed.busy_j[in_half[placed.leaves.row_of_leaf]].sum())
    spread_j = run.spread_power_w * run.duration_s
    shares = sum(value for name, value in named.items() if name.endswith("_share"))
    assert half_j > 0 and shares + half_j / spread_j == pytest.approx(1.0)


def test_idle_experts_are_not_paid_for(shipped: Predictor) -> None:
    """Of 64 experts that do not fit in the L2 a quarter got rows: less time for products, so more of it was waiting."""
    tree = tree_of([grouped(8, experts=64)] * 4, "cuda_graph")
    alone = shipped.predict(tree)
    run = RuntimeFeatures(alone.duration_s, CLOCK_HZ)
    routed = dataclasses.replace(run, busy_experts_pct=25.0, expert_load_deviation=2.0)
    assert shipped.predict(tree, routed).energy_j < 0.75 * shipped.predict(tree, run).energy_j
