"""Runs that were watched: throttled ones draw the cap, others the predicted work over the measured time."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest

from irene.errors import BadInput
from irene.hardware.spec import load_device
from irene.model_tree.serialization import decompress_tree
from irene.predictor.predictor import Predictor
from irene.predictor.runtime import RuntimeFeatures, RuntimeModel, fit_runtime
from irene.predictor.training import _place_held_out
from irene.predictor.training_data import gather_wholes

SPEC = load_device("h200")
CLOCK_HZ = SPEC.max_sm_clock_hz


@pytest.mark.parametrize(
    "changed",
    [{"duration_s": 0.0}, {"duration_s": float("nan")}, {"duration_s": float("inf")}, {"gpu_utilization_pct": 101.0},
     {"memory_utilization_pct": -1.0}, {"sm_clock_hz": 1980.0}],
)  # fmt: skip
def test_a_run_that_cannot_be(changed: dict[str, float]) -> None:
    run = {"duration_s": 1e-3, "gpu_utilization_pct": 99.0, "memory_utilization_pct": 30.0, "sm_clock_hz": CLOCK_HZ}
    RuntimeFeatures(**run)
    with pytest.raises(BadInput, match=next(iter(changed))):
        RuntimeFeatures(**run | changed)


def test_the_measured_time_is_taken_and_shares_stay(fitted: Predictor, rows: pd.DataFrame) -> None:
    tree = decompress_tree(rows[rows["level"] == "model"]["tree"].iloc[0])
    alone = fitted.predict(tree)
    run = RuntimeFeatures(2 * alone.duration_s, 50.0, 10.0, CLOCK_HZ)
    known = fitted.predict(tree, run)
    assert known.duration_s == pytest.approx(run.duration_s)
    assert known.energy_j > alone.energy_j  # the host took twice as long, at idle power
    assert known.energy_j == pytest.approx(sum(known.breakdown_j.values()))
    assert known.interval_j[0] < known.energy_j < known.interval_j[1]
    shares = [p.node("block0").energy_j / p.energy_j for p in (alone, known)]
    assert shares[0] == pytest.approx(shares[1])


def test_a_clock_below_its_highest_means_the_cap(fitted: Predictor, rows: pd.DataFrame) -> None:
    tree = decompress_tree(rows[rows["level"] == "model"]["tree"].iloc[0])
    run = RuntimeFeatures(1e-3, 99.0, 30.0, 0.9 * CLOCK_HZ)
    assert fitted.predict(tree, run).power_w == pytest.approx(fitted.runtime.throttled_power_w)


def test_a_planted_correction_is_found_again(fitted: Predictor, rows: pd.DataFrame) -> None:
    """Independent: power that depends on memory utilisation alone, by a law, is learned from forty runs."""
    whole = gather_wholes(rows, SPEC)[0]
    table = whole.leaves.table
    (placed,) = _place_held_out([whole], [fitted.leaves.predict(table)], fitted.host, SPEC)
    rng = np.random.default_rng(1)
    busy_s = float(placed.busy_s.sum())
    runs = [RuntimeFeatures(float(1.5 * busy_s), 90.0, float(pct), CLOCK_HZ) for pct in rng.uniform(0, 80, 40)]
    neutral = RuntimeModel(700.0, 0.0, (0.0,) * 5)
    measured = [
        neutral.energy_j(placed, run, "eager", SPEC) * np.exp(0.1 * run.memory_utilization_pct / 100) for run in runs
    ]
    found = fit_runtime([placed] * 40, runs, ["eager"] * 40, measured, SPEC)
    again = [found.energy_j(placed, run, "eager", SPEC) for run in runs]
    np.testing.assert_allclose(again, measured, rtol=0.005)
    throttled = [dataclasses.replace(run, sm_clock_hz=0.9 * CLOCK_HZ) for run in runs]
    capped = fit_runtime([placed] * 40, throttled, ["eager"] * 40, [650.0 * run.duration_s for run in runs], SPEC)
    assert capped.throttled_power_w == pytest.approx(650.0)


def test_running_faster_and_waiting_are_told_apart(fitted: Predictor, rows: pd.DataFrame) -> None:
    """Independent: faster kernels cost less energy by a law, waiting costs what it was predicted to."""
    whole = gather_wholes(rows, SPEC)[0]
    (placed,) = _place_held_out([whole], [fitted.leaves.predict(whole.leaves.table)], fitted.host, SPEC)
    busy_s, neutral = float(placed.busy_s.sum()), RuntimeModel(700.0, 0.0, (0.0,) * 5)
    longer = np.exp(np.concatenate([np.linspace(-0.4, 0.0, 40), np.linspace(0.0, 1.4, 40)]))
    runs = [RuntimeFeatures(float(busy_s * factor), 90.0, 30.0, CLOCK_HZ) for factor in longer]
    predicted = np.array([neutral.energy_j(placed, run, "eager", SPEC) for run in runs])
    measured = predicted * np.minimum(longer, 1.0) ** 0.5
    found = fit_runtime([placed] * 80, runs, ["eager"] * 80, measured.tolist(), SPEC)
    again = [found.energy_j(placed, run, "eager", SPEC) for run in runs]
    np.testing.assert_allclose(again, measured, rtol=0.01)
