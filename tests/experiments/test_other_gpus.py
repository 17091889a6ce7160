"""Tables of others, made small: each row is judged on its own GPU, and a summary says what it is asked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from tests.experiments.loading import EXPERIMENTS, load_experiment

if TYPE_CHECKING:
    from irene.predictor.predictor import Predictor


@pytest.fixture
def experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files import one another by their names, as a script's do."""
    monkeypatch.setattr(sys, "path", [str(EXPERIMENTS / "other-gpus"), *sys.path])


@pytest.mark.usefixtures("experiment")
def test_products_are_judged_on_their_own_gpu(tmp_path: Path, shipped: Predictor) -> None:
    kernels = load_experiment("other-gpus/kernels.py")
    shapes = {"m": [4096, 4096, 8], "n": [4096, 51_200, 64], "k": [4096, 4096, 64]}
    for file in kernels.PRODUCTS:
        table = pd.DataFrame({**shapes, "duration_s": [1e-3, 1e-2, 3e-6]})
        table.to_parquet(tmp_path / f"products-bf16-{file}.parquet")
    judged = kernels.judge_products(tmp_path, shipped, 10).set_index("set")
    assert len(judged) == 3  # not what may have run on empty memory, and not what launches decide
    seconds = judged.predicted_s
    assert seconds["products bf16, h100-sxm"] < seconds["products bf16, a100-sxm-80gb"]
    assert seconds["products bf16, h100-sxm"] < seconds["products bf16, l40s"]
    assert (judged.roofline_s < judged.predicted_s).all() and judged.same_s.nunique() == 1


@pytest.mark.usefixtures("experiment")
def test_a_summary_has_errors_bias_and_coverage() -> None:
    run = load_experiment("other-gpus/run.py")
    cases = pd.DataFrame({
        "set": "made", "measured_j": [1.0, 2.0], "predicted_j": [1.1, 1.8], "same_j": [2.0, 4.0],
        "low_j": [0.9, 1.7], "high_j": [1.2, 1.9],
    })  # fmt: skip
    (row,) = run.summarise(cases, "j", ("predicted_j", "same_j")).to_dict("records")
    assert (row["predicted_mape_pct"], row["same_mape_pct"], row["covered_pct"]) == (10.0, 100.0, 50.0)
    assert row["bias_pct"] == pytest.approx(-0.5, abs=0.06)


@pytest.mark.usefixtures("experiment")
def test_points_of_a_gpu_are_not_judged_and_a_tier_is_as_wide_as_others_need(shipped: Predictor) -> None:
    import numpy as np

    points, kernels = load_experiment("other-gpus/points.py"), load_experiment("other-gpus/kernels.py")
    sizes = [64 * 2 ** (at % 7) for at in range(40)]
    calls = [kernels.linear(m, n, 1024, "bfloat16") for m, n in zip(sizes, reversed(sizes), strict=True)]
    table = kernels.Table("products bf16, made", "l40s", calls, "bfloat16", [False] * 40, np.full(40, 1e-4))
    found = list(points.judge(table, shipped, draws=1))
    assert [(one.tier, len(one.log_errors)) for one in found] == [(0, 40), (8, 32)]
    others = [
        one
        for tier in points.TIERS
        for one in (points.Errors("products bf16, a", "ampere", tier, np.linspace(-0.2, 0.2, 100), True), found[0])
    ]
    others += [points.Errors("products bf16, b", "ada", tier, np.full(100, 0.1), True) for tier in points.TIERS]
    tiers = points.cover(others).set_index(["points", "held_out"])
    assert tiers.half_width[0, "ada"] == pytest.approx(0.18, abs=0.02)


@pytest.mark.usefixtures("experiment")
def test_signs_are_counted_of_pairs_that_differ() -> None:
    rankings = load_experiment("other-gpus/rankings.py")
    entries = pd.DataFrame({"token_j": [1.0, 1.1, 2.0], "predicted_j": [5.0, 4.0, 4.5]})
    found = rankings.rank(entries)
    assert (found["pairs"], found["sign_right_pct"], found["entries"]) == (2, 50.0, 3)
