"""Do 90 % intervals hold? Coverage pooled over families, with the error that the choice of families leaves in it.

Cases of a family are alike, so they do not count as independent: the standard error comes from drawing whole families
again, with replacement (bootstrap), and pooling their cases each time.

An interval says where a measurement on one card will lie. A case that was measured on several counts once, by the share
of them that lie inside; the median over cards, which moves less, is counted beside it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from irene.evaluation.metrics import coverage_pct
from irene.evaluation.noise import GPU_BOUND, HOST_BOUND, regime_of

_DRAWS = 4000
EVERY = "all"


def tabulate_coverage(judged: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Intervals of modules and models whose family was held out (columns of `judge`, with `held_out` and `family`).

    One row a (level, execution, regime): `cases`, `families`, `coverage_pct` (best is 90), `standard_error_pct`, the
    coverage of medians over cards, `of_medians_pct`, and `half_width_pct`: the median of half an interval's width over
    the predicted energy (lower is better, at equal coverage). The regime 'all' pools GPU-bound and host-bound. Eager
    work is given so, captured work as one.
    """
    trees = judged[(judged["held_out"] == "family") & (judged["level"] != "primitive")]
    rows = []
    for level, execution, regime, cases in _groups(trees):
        half_j = (cases["high_j"] - cases["low_j"]) / 2
        rows.append({
            "level": level, "execution": execution, "regime": regime, "cases": len(cases),
            "families": cases["family"].nunique(),
            "coverage_pct": float(100 * cases["inside_share"].mean()),
            "standard_error_pct": bootstrap_coverage_error_pct(cases, seed),
            "of_medians_pct": coverage_pct(cases["measured_energy_j"], cases["low_j"], cases["high_j"]),
            "half_width_pct": float((100 * half_j / cases["predicted_energy_j"]).median()),
        })  # fmt: skip
    return pd.DataFrame(rows)


def bootstrap_coverage_error_pct(cases: pd.DataFrame, seed: int = 0) -> float:
    """Standard deviation of the pooled coverage over draws of families; NaN for a single family."""
    by_family = cases["inside_share"].groupby(cases["family"]).agg(["sum", "size"]).to_numpy(dtype=float)
    if len(by_family) < 2:
        return float("nan")
    drawn = np.random.default_rng(seed).integers(len(by_family), size=(_DRAWS, len(by_family)))
    hits, sizes = by_family[drawn].sum(axis=1).T
    return float((100 * hits / sizes).std())


def _groups(trees: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    regimes = trees["gpu_utilization_pct"].astype(float).map(regime_of)
    for level in ("model", "module"):
        for execution, shown in (("eager", (EVERY, GPU_BOUND, HOST_BOUND)), ("cuda_graph", (EVERY,))):
            for regime in shown:
                here = (trees["level"] == level) & (trees["execution"] == execution)
                cases = trees[here if regime == EVERY else here & (regimes == regime)]
                if not cases.empty:
                    yield level, execution, regime, cases
