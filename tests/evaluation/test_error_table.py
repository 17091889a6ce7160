"""The table keeps apart what design and protocol keep apart, and its numbers are the metrics' numbers."""

import numpy as np
import pandas as pd
import pytest

from irene.errors import BadDataset
from irene.evaluation.error_table import regime_of, tabulate_errors, to_markdown


def judged(**columns: object) -> pd.DataFrame:
    base: dict[str, object] = {
        "level": "model", "execution": "eager", "gpu_utilization_pct": 99.0, "family": "bert", "dtype": "bfloat16",
        "measured_energy_j": 10.0, "predicted_energy_j": 10.0, "low_j": 8.0, "high_j": 12.0, "noise_floor_pct": np.nan,
    }  # fmt: skip
    return pd.DataFrame({**base, **columns})


def test_one_row_by_hand() -> None:
    cases = judged(
        family=["bert", "bert", "t5"],
        predicted_energy_j=[11.0, 13.0, 16.0],
        measured_energy_j=[10.0, 10.0, 20.0],
        high_j=[12.0, 12.0, 30.0],
        low_j=[8.0, 11.0, 8.0],
        noise_floor_pct=[1.0, 3.0, np.nan],
        power_cap_roofline_j=[5.0, 10.0, 10.0],
        sum_of_leaves_j=[np.nan, 12.0, np.nan],
    )
    (row,) = tabulate_errors(cases).to_dict("records")
    assert row == {
        "level": "model", "execution": "eager", "regime": "GPU-bound", "cases": 3, "families": 2,
        "family_mean_mape_pct": pytest.approx(20.0), "mape_pct": pytest.approx(20.0),
        "median_ape_pct": pytest.approx(20.0), "p90_ape_pct": pytest.approx(28.0),
        "worst_ape_pct": pytest.approx(30.0), "coverage_pct": pytest.approx(200 / 3),
        "noise_floor_pct": 2.0, "noise_cases": 2,
        "power_cap_roofline_j": 37.5, "power_cap_roofline_j_cases": 3,
        "sum_of_leaves_j": pytest.approx(20.0), "sum_of_leaves_j_cases": 1,
    }  # fmt: skip


def test_levels_executions_and_regimes_are_never_averaged() -> None:
    parts = [
        judged(level=level, execution=execution, gpu_utilization_pct=[utilization])
        for level in ("model", "module", "primitive")
        for execution in ("cuda_graph", "eager")
        for utilization in (99.0, 30.0, np.nan)
    ]
    table = tabulate_errors(pd.concat(parts, ignore_index=True))
    keys = [tuple(key) for key in table[["level", "execution", "regime"]].to_numpy()]
    assert len(keys) == len(set(keys)) == 18 and set(table["cases"]) == {1}
    assert keys[0] == ("primitive", "eager", "GPU-bound") and keys[-1] == ("model", "cuda_graph", "not measured")


def test_the_border_is_an_extra_row_that_takes_no_case_away() -> None:
    table = tabulate_errors(judged(gpu_utilization_pct=[60.0, 70.0, 84.9, 85.0, 95.0, 96.0])).set_index("regime")
    assert table["cases"].to_dict() == {"GPU-bound": 3, "host-bound": 3, "border 70-95 %": 4}
    assert [regime_of(u) for u in (84.99, 85.0)] == ["host-bound", "GPU-bound"]


def test_markdown_shows_every_row_and_says_what_a_number_is_about() -> None:
    cases = judged(
        predicted_energy_j=[11.0, 12.0], noise_floor_pct=[0.5, np.nan], flop_proportional_j=[20.0, 20.0],
        sum_of_leaves_j=[np.nan, np.nan],
    )  # fmt: skip
    text = to_markdown(tabulate_errors(cases))
    lines = text.splitlines()
    assert lines[0].startswith("| level | execution | regime | cases | families | family mean % |")
    assert lines[0].endswith("| FLOP-proportional % | sum of leaves % |")
    assert lines[2] == (
        "| model | eager | GPU-bound | 2 | 1 | 15.0 | 15.0 | 15.0 | 19.0 | 20.0 | 100.0 | 0.5 (1) | 100.0 | - |"
    )
    assert len({line.count("|") for line in lines}) == 1 and len(lines) == 3


def test_missing_columns_and_no_cases_are_refused() -> None:
    with pytest.raises(BadDataset, match="family, low_j"):
        tabulate_errors(judged(level=["model"]).drop(columns=["low_j", "family"]))
    with pytest.raises(BadDataset, match="No judged cases"):
        tabulate_errors(judged(level=[]))
