"""The goals: how small errors are to be before the numbers can be trusted, beside where they stand.

Every goal is judged on what was held out (families, or sites of primitives), one standing for each seed of training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from irene.evaluation.coverage import EVERY, tabulate_coverage
from irene.evaluation.error_sources import ENERGY, TIME, long_primitives
from irene.evaluation.error_table import QUANTITIES, WATCHED
from irene.evaluation.metrics import absolute_percentage_errors, family_mean_mape_pct, p90_ape_pct
from irene.evaluation.noise import GPU_BOUND, HOST_BOUND, regime_of

RUNS_OF_A_LABEL = 3  # what protocol asks for where the host decides


@dataclass(frozen=True, slots=True)
class Goal:
    """`low_pct` to `high_pct` is where `measure` (of judged cases; NaN without any) is to stand."""

    title: str
    high_pct: float
    measure: Callable[[pd.DataFrame], float]
    low_pct: float = 0.0

    @property
    def range_pct(self) -> str:
        return f"{self.low_pct:g} to {self.high_pct:g}" if self.low_pct else f"at most {self.high_pct:g}"

    def is_met(self, standing_pct: float) -> bool:
        return self.low_pct <= standing_pct <= self.high_pct


def tabulate_goals(judged: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """Judged cases by seed -> one row a goal: `of`, `goal` and, in per cent, `mean`, `min`, `max` over seeds; `met`.

    `met` is 'yes' (with every seed), 'in the mean', 'no', or '-' where nothing was judged.
    """
    rows = []
    for goal in GOALS:
        standing = np.array([goal.measure(cases) for cases in judged.values()])
        row: dict[str, object] = {"of": goal.title, "goal": goal.range_pct}
        row |= {"mean": np.nan, "min": np.nan, "max": np.nan}
        if np.isfinite(standing).all() and len(standing):
            row |= {"mean": standing.mean(), "min": standing.min(), "max": standing.max()}
            every, in_mean = all(map(goal.is_met, standing)), goal.is_met(float(standing.mean()))
            row["met"] = "yes" if every else "in the mean" if in_mean else "no"
        else:
            row["met"] = "-"
        rows.append(row)
    return pd.DataFrame(rows)


def tabulate_heaviest(judged: pd.DataFrame) -> pd.DataFrame:
    """Whole models: the family whose error is largest, its own mean error, and the family mean of all others.

    One row for each execution, regime and quantity that a goal speaks of.
    """
    rows = []
    for execution, regime in (("eager", GPU_BOUND), ("eager", HOST_BOUND), ("cuda_graph", "")):
        for quantity in ("energy", WATCHED):
            errors_pct = _errors_pct(_wholes(judged, "model", execution, regime), quantity)
            means = errors_pct.groupby(level=0).mean()
            if len(means) < 2:
                continue
            family = str(means.idxmax())
            rows.append({
                "execution": execution, "regime": regime or "all", "quantity": quantity, "families": len(means),
                "family mean %": means.mean(), "heaviest": family, "its cases": int((errors_pct.index == family).sum()),
                "its mean %": means[family], "without it %": means.drop(family).mean(),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _wholes(judged: pd.DataFrame, level: str, execution: str, regime: str = "", fewest_runs: int = 1) -> pd.DataFrame:
    here = (judged["held_out"] == "family") & (judged["level"] == level) & (judged["execution"] == execution)
    if regime:
        here &= judged["gpu_utilization_pct"].astype(float).map(regime_of) == regime
    return judged[here & (judged["runs"] >= fewest_runs)]


def _errors_pct(cases: pd.DataFrame, quantity: str = "energy") -> pd.Series[float]:
    measured, predicted = QUANTITIES[quantity]
    known = cases[cases[predicted].notna()]
    return pd.Series(absolute_percentage_errors(known[measured], known[predicted]), index=known["family"], dtype=float)


def _family_mean(errors_pct: pd.Series[float]) -> float:
    return family_mean_mape_pct(errors_pct, list(errors_pct.index)) if len(errors_pct) else float("nan")


def _mean_of(
    level: str, execution: str, regime: str = "", quantity: str = "energy", fewest_runs: int = 1
) -> Callable[[pd.DataFrame], float]:
    return lambda judged: _family_mean(_errors_pct(_wholes(judged, level, execution, regime, fewest_runs), quantity))


def _p90_of(level: str, execution: str, regime: str) -> Callable[[pd.DataFrame], float]:
    def measure(judged: pd.DataFrame) -> float:
        errors = _errors_pct(_wholes(judged, level, execution, regime))
        return p90_ape_pct(errors) if len(errors) else float("nan")

    return measure


def _sites_of(part: str, quantity: str) -> Callable[[pd.DataFrame], float]:
    def measure(judged: pd.DataFrame) -> float:
        if not (judged["held_out"] == "site").any():
            return float("nan")
        cases = long_primitives(judged, quantity)
        cases = cases[cases["part"] == part]
        return _family_mean(pd.Series(cases["absolute_pct"].to_numpy(), index=cases["site"]))

    return measure


def _interval_of(regime: str, column: str) -> Callable[[pd.DataFrame], float]:
    def measure(judged: pd.DataFrame) -> float:
        table = tabulate_coverage(judged)
        rows = table[(table["level"] == "model") & (table["execution"] == "eager") & (table["regime"] == regime)]
        return float(rows[column].iloc[0]) if len(rows) else float("nan")

    return measure


GOALS = (
    Goal("models, GPU-bound, eager: energy, family mean", 6, _mean_of("model", "eager", GPU_BOUND)),
    Goal("models, GPU-bound, eager: energy, p90", 12, _p90_of("model", "eager", GPU_BOUND)),
    Goal("models, captured: energy, family mean", 6, _mean_of("model", "cuda_graph")),
    Goal("models, host-bound, eager: energy, family mean", 15, _mean_of("model", "eager", HOST_BOUND)),
    Goal(
        f"the same, cases of {RUNS_OF_A_LABEL} runs and more", 15,
        _mean_of("model", "eager", HOST_BOUND, fewest_runs=RUNS_OF_A_LABEL),
    ),
    Goal("modules, GPU-bound, eager: energy, family mean", 8, _mean_of("module", "eager", GPU_BOUND)),
    Goal("products above 20 us: time, site mean", 4, _sites_of("gemm", TIME)),
    Goal("products above 20 us: energy, site mean", 6, _sites_of("gemm", ENERGY)),
    Goal("attention above 20 us: time, site mean", 6, _sites_of("attention", TIME)),
    Goal("attention above 20 us: energy, site mean", 8, _sites_of("attention", ENERGY)),
    Goal("other primitives above 20 us: energy, site mean", 10, _sites_of("rest", ENERGY)),
    Goal("models, GPU-bound, eager, run watched: energy", 3, _mean_of("model", "eager", GPU_BOUND, WATCHED)),
    Goal("models, host-bound, eager, run watched: energy", 3, _mean_of("model", "eager", HOST_BOUND, WATCHED)),
    Goal("models, captured, run watched: energy", 3, _mean_of("model", "cuda_graph", quantity=WATCHED)),
    Goal("90 % intervals of models, all eager: coverage", 95, _interval_of(EVERY, "coverage_pct"), 85),
    Goal("90 % intervals of models, GPU-bound, eager: coverage", 95, _interval_of(GPU_BOUND, "coverage_pct"), 85),
    Goal("90 % intervals of models, host-bound, eager: coverage", 95, _interval_of(HOST_BOUND, "coverage_pct"), 85),
    Goal("90 % intervals of models, GPU-bound, eager: half-width", 20, _interval_of(GPU_BOUND, "half_width_pct")),
)  # fmt: skip
"""Means are over families, of primitives over sites; energies against the median of a case's runs."""
