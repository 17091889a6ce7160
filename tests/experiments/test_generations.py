"""A generation that was measured several times is judged once, by the median of its runs."""

from __future__ import annotations

import pandas as pd

from tests.experiments.loading import load_experiment

generations = load_experiment("generations/run.py")


def test_a_case_is_the_median_of_its_runs() -> None:
    """One case of three runs, the first the thriftiest, and one of a single run between them."""
    rows = pd.DataFrame({
        "case": ["a", "b", "a", "a"], "energy_j": [1.0, 9.0, 5.0, 3.0], "duration_s": [1.0, 7.0, 2.0, 9.0],
        "gpu_utilization_pct": [10.0, 50.0, 30.0, 20.0], "peak_memory_bytes": [4.0, 5.0, 6.0, 8.0],
    })  # fmt: skip
    several, single = generations.take_medians(rows).to_dict("records")
    assert several == {
        "case": "a", "energy_j": 3.0, "duration_s": 2.0, "gpu_utilization_pct": 20.0, "peak_memory_bytes": 6.0,
        "first_j": 1.0, "runs": 3,
    }  # fmt: skip
    assert (single["case"], single["energy_j"], single["first_j"], single["runs"]) == ("b", 9.0, 9.0, 1)
