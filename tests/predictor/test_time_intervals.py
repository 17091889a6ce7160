"""Widths of times: those of the held-out cases that are committed, and what follows from them."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from irene.predictor.intervals import conformal_half_width
from irene.predictor.time_intervals import WIDTHS, half_width, time_interval_s

CASES = "experiments/leave-one-family-out/cases.csv"
GPU_BOUND_FROM_PCT = 85


def test_widths_are_those_of_the_committed_cases() -> None:
    cases = pd.read_csv(CASES)
    cases = cases[(cases["held_out"] == "family") & (cases["level"] != "primitive")]
    waits = (cases["execution"] == "eager") & (cases["gpu_utilization_pct"] < GPU_BOUND_FROM_PCT)
    found: dict[str, list[tuple[float, float]]] = {}
    for (execution, _), own in cases.groupby([cases["execution"], waits]):
        errors = np.log(own["predicted_duration_s"] / own["measured_duration_s"])
        of_energy = float(np.median(np.log(own["high_j"] / own["predicted_energy_j"])))
        found.setdefault(str(execution), []).append((of_energy, conformal_half_width(errors.tolist())))
    for execution, points in WIDTHS.items():
        assert np.array(points) == pytest.approx(np.array(found[execution]), rel=0.01)


@pytest.mark.parametrize("execution", sorted(WIDTHS))
def test_a_wider_energy_is_a_wider_time(execution: str) -> None:
    widths = [half_width(width, execution) for width in np.linspace(0, 3, 200)]
    assert widths[0] == 0 and all(a < b for a, b in zip(widths, widths[1:], strict=False))


def test_both_ends_are_as_far_in_log() -> None:
    low, high = time_interval_s(2.0, 1.0, (0.9, 1.1), "eager")
    assert low < 2.0 < high and math.log(high / 2.0) == pytest.approx(math.log(2.0 / low))
