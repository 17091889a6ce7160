"""Coverage is pooled over cases, its error comes from families, and regimes stay apart."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from irene.evaluation.coverage import bootstrap_coverage_error_pct, tabulate_coverage


def intervals(**columns: object) -> pd.DataFrame:
    base: dict[str, object] = {
        "held_out": "family", "level": "model", "execution": "eager", "gpu_utilization_pct": 99.0, "family": "bert",
        "measured_energy_j": 10.0, "predicted_energy_j": 10.0, "low_j": 8.0, "high_j": 12.0,
    }  # fmt: skip
    frame = pd.DataFrame({**base, **columns})
    inside = frame["measured_energy_j"].between(frame["low_j"], frame["high_j"]).astype(float)
    return frame.assign(inside_share=columns.get("inside_share", inside))


def test_one_table_by_hand() -> None:
    judged = pd.concat([
        intervals(family=["bert", "bert", "t5"], measured_energy_j=[8.0, 12.1, 12.0]),
        intervals(family=["bert"], gpu_utilization_pct=40.0, low_j=4.0, high_j=20.0),
        intervals(family=["opt"], execution="cuda_graph", low_j=9.0),
        intervals(family=["opt"], held_out="reserved family", measured_energy_j=99.0),
        intervals(family=["s"], level="primitive", held_out="site", measured_energy_j=99.0),
    ])  # fmt: skip
    table = tabulate_coverage(judged).set_index(["execution", "regime"])
    assert table["cases"].to_dict() == {
        ("eager", "all"): 4, ("eager", "GPU-bound"): 3, ("eager", "host-bound"): 1, ("cuda_graph", "all"): 1,
    }  # fmt: skip
    assert table.loc[("eager", "all"), "coverage_pct"] == 75.0
    assert table.loc[("eager", "GPU-bound"), "coverage_pct"] == pytest.approx(200 / 3)
    assert table.loc[("eager", "GPU-bound"), "families"] == 2
    assert table["half_width_pct"].tolist() == [20.0, 20.0, 80.0, 15.0]


def test_a_card_outside_counts_by_its_share() -> None:
    judged = intervals(family=["bert", "t5"], inside_share=[0.5, 1.0])
    row = tabulate_coverage(judged).iloc[0]
    assert row["coverage_pct"] == 75.0 and row["of_medians_pct"] == 100.0


def test_the_error_is_that_of_drawing_families() -> None:
    """Two families of equal size, one covered and one not: pooled coverage is 0, 50 or 100 with chances 1, 2, 1."""
    judged = intervals(family=["a"] * 5 + ["b"] * 5, measured_energy_j=[10.0] * 5 + [99.0] * 5)
    assert bootstrap_coverage_error_pct(judged) == pytest.approx(np.sqrt(0.5) * 50, rel=0.03)
    assert bootstrap_coverage_error_pct(judged, 1) == bootstrap_coverage_error_pct(judged, 1)
    assert np.isnan(bootstrap_coverage_error_pct(judged[:5]))


def test_many_cases_of_a_family_are_no_more_certain() -> None:
    few = intervals(family=["a", "b", "c", "d"], measured_energy_j=[10.0, 10.0, 10.0, 99.0])
    many = pd.concat([few] * 25)
    assert bootstrap_coverage_error_pct(many) == pytest.approx(bootstrap_coverage_error_pct(few))
