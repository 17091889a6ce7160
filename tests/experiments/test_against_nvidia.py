"""The comparison with NVIDIA's table, on a table of the same form: classes of size, errors, what the cap holds."""

from __future__ import annotations

import pandas as pd

from tests.experiments.loading import load_experiment

run = load_experiment("against-nvidia/run.py")


def test_products_are_judged_by_size() -> None:
    table = pd.DataFrame({
        "m": [8192, 16], "n": [8192, 1024], "k": [8192, 1024], "duration_s": [1.4e-3, 4e-6], "tables": [3, 1],
        "spread_pct": [5.0, 50.0],
    })  # fmt: skip
    summary = run.summarise(run.judge(table), 700.0).set_index("size")
    assert list(summary.index) == ["below 5 us", "above 1 ms", "all"] and summary.shapes.tolist() == [1, 1, 2]
    assert summary.at_cap_pct["above 1 ms"] == 100 and summary.at_cap_pct["below 5 us"] == 0
    assert summary.their_spread_pct["all"] == 5.0  # one table differs from none
    assert summary.mape_pct["above 1 ms"] < 20
