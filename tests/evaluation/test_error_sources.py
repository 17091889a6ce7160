"""Shares of the error add up, sites are averaged before anything else, and short primitives are not judged."""

from __future__ import annotations

import pandas as pd
import pytest

from irene.errors import BadDataset
from irene.evaluation.error_sources import (
    long_primitives,
    tabulate_by_operator,
    tabulate_by_size,
    tabulate_worst_sites,
)


def primitives(**columns: object) -> pd.DataFrame:
    base: dict[str, object] = {
        "held_out": "site", "level": "primitive", "method": "events", "kind": "gemm", "dtype": "bfloat16",
        "family": "a", "measured_duration_s": 50e-6, "predicted_duration_s": 50e-6, "measured_energy_j": 1.0,
        "predicted_energy_j": 1.1,
    }  # fmt: skip
    return pd.DataFrame({**base, **columns})


@pytest.fixture
def judged() -> pd.DataFrame:
    """Times: a product of site a is 20 % off, two of site b 0 and 20 %, a softmax 60 %; energy: one 10 %."""
    return pd.concat([
        primitives(family=["a", "b", "b"], predicted_duration_s=[60e-6, 50e-6, 40e-6]),
        primitives(family=["c"], kind="softmax", measured_duration_s=5e-3, predicted_duration_s=8e-3),
        primitives(family=["short"], measured_duration_s=20e-6, predicted_duration_s=1.0),
        primitives(family=["x"], held_out="family", predicted_duration_s=1.0),
        primitives(family=["a"], method="window"),
    ])  # fmt: skip


def test_by_operator(judged: pd.DataFrame) -> None:
    table = tabulate_by_operator(judged)
    times = table[table["quantity"] == "time"].set_index("kind")
    assert times.index.tolist() == ["softmax", "gemm"]
    assert times["share_pct"].tolist() == [pytest.approx(60.0), pytest.approx(40.0)]
    assert times.loc["gemm", ["cases", "sites"]].tolist() == [3, 2]
    assert times.loc["gemm", "site_mean_pct"] == pytest.approx((20 + 10) / 2)
    assert times.loc["gemm", "bias_pct"] == pytest.approx(0.0)
    (energy,) = table[table["quantity"] == "energy"].to_dict("records")
    assert energy["share_pct"] == 100.0 and energy["median_pct"] == pytest.approx(10.0)


def test_by_size_and_by_site(judged: pd.DataFrame) -> None:
    sizes = tabulate_by_size(judged)
    assert sizes[["quantity", "part", "size"]].to_numpy().tolist() == [
        ["time", "gemm", "20 to 100 us"], ["time", "rest", "1 to 10 ms"], ["energy", "gemm", "20 to 100 us"]
    ]  # fmt: skip
    worst = tabulate_worst_sites(judged, count=2)
    assert worst["site"].tolist() == ["c", "a"] and set(worst["quantity"]) == {"time"}


def test_nothing_judged(judged: pd.DataFrame) -> None:
    with pytest.raises(BadDataset, match="energy"):
        long_primitives(judged[judged["method"] == "events"], "energy")
