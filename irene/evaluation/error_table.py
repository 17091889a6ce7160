"""The error table: one row for what was held out, a level, a quantity, an execution and a regime; never one average.

Input is one frame of judged cases, whatever folds they came from: the columns of `judge`, with `held_out`, `family`,
`noise_floor_pct` and `card_noise_pct` (of the case; NaN without repeats).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Final

import numpy as np
import pandas as pd

from irene.errors import BadDataset
from irene.evaluation.metrics import (
    absolute_percentage_errors,
    coverage_pct,
    family_mean_mape_pct,
    mape_pct,
    median_ape_pct,
    p90_ape_pct,
    worst_ape_pct,
)
from irene.evaluation.noise import GPU_BOUND, HOST_BOUND, UNKNOWN, regime_of
from irene.model_tree.workload import EXECUTIONS

WATCHED = "energy, run watched"
# What was measured and what is predicted of each quantity.
QUANTITIES: Final[Mapping[str, tuple[str, str]]] = MappingProxyType(
    {
        "energy": ("measured_energy_j", "predicted_energy_j"),
        "time": ("measured_duration_s", "predicted_duration_s"),
        "power": ("measured_power_w", "predicted_power_w"),
        WATCHED: ("measured_energy_j", "watched_energy_j"),
    }
)
BASELINES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "power_cap_roofline_j": "cap x roofline",
        "flop_proportional_j": "FLOP-proportional",
        "sum_of_leaves_j": "sum of leaves",
    }
)
JUDGED_COLUMNS = (
    "held_out", "level", "method", "kind", "execution", "gpu_utilization_pct", "family", "measured_energy_j",
    "predicted_energy_j", "measured_duration_s", "predicted_duration_s", "measured_power_w", "predicted_power_w",
    "watched_energy_j", "watched_low_j", "watched_high_j", "low_j", "high_j", "noise_floor_pct", "card_noise_pct",
)  # fmt: skip
BORDER_PCT = (70.0, 95.0)
BORDER = "border 70-95 %"
ALL, LONG = "all", "above 20 us"
LONG_FROM_S = 20e-6
_LEVELS = ("primitive", "module", "model")
_KEYS = ("held_out", "level", "part", "quantity", "execution", "regime")
_TITLES = {
    **{key: key.replace("_", " ") for key in _KEYS}, "cases": "cases", "families": "families",
    "family_mean_mape_pct": "family mean %", "mape_pct": "mean %", "median_ape_pct": "median %",
    "p90_ape_pct": "p90 %", "worst_ape_pct": "worst %", "bias_pct": "bias %", "coverage_pct": "in interval %",
    "noise_floor_pct": "noise %", "card_noise_pct": "card noise %",
}  # fmt: skip


def tabulate_errors(judged: pd.DataFrame) -> pd.DataFrame:
    """The table of errors of `judged` cases, a row for each group that has cases.

    Primitives: energy and power of windows, time of CUDA events; all of them and those above 20 us; in site folds also
    `part` by part (gemm, attention, rest). Modules and models: energy, energy where
    the run was watched, and time by execution and regime, where 'border
    70-95 %' repeats cases of the other two: it says how much depends on where the line is drawn.

    `families` counts what the family mean is over: families, or sites where sites were held out. `bias_pct` is the
    median of predicted / measured - 1. `noise_floor_pct` (repeats on one card) and `card_noise_pct` (several cards) are
    family means over the `..._cases` that were repeated. Each baseline of energy gives its family mean over the
    `<baseline>_cases` that it says something about, NaN if there are none. Lower is better, but for coverage.

    Raises `BadDataset` if columns are missing or there are no cases.
    """
    missing = [name for name in JUDGED_COLUMNS if name not in judged.columns]
    if missing:
        raise BadDataset(f"Judged cases lack the columns {', '.join(missing)}.")
    if judged.empty:
        raise BadDataset("No judged cases: no family or site was held out. Load more rows.")
    table = []
    for held_out, of_fold in judged.groupby("held_out", sort=False):
        for level in sorted(of_fold["level"].unique(), key=_LEVELS.index):
            of_level = of_fold[of_fold["level"] == level]
            groups = _primitive_groups(of_level) if level == "primitive" else _tree_groups(of_level)
            for part, quantity, execution, regime, cases in groups:
                keys = zip(_KEYS, (held_out, level, part, quantity, execution, regime), strict=True)
                table.append({**dict(keys), **_summarise(cases, quantity)})
    return pd.DataFrame(table)


def part_of(kinds: pd.Series[str]) -> pd.Series[str]:
    """'gemm', 'attention', or 'rest' for every other kind of primitive."""
    return kinds.where(kinds.isin(["gemm", "attention"]), "rest")


def to_markdown(table: pd.DataFrame) -> str:
    """The table as Markdown, one decimal. '-' is not known; '31.2 (40)' speaks about 40 of the row's cases only."""
    shown = [name for name in table.columns if name in _TITLES or f"{name}_cases" in table.columns]
    titles = [_TITLES.get(name) or BASELINES[name] + " %" for name in shown]
    rule = ["---" if name in _KEYS else "---:" for name in shown]
    lines = [titles, rule, *([_cell(row, name) for name in shown] for _, row in table.iterrows())]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _primitive_groups(cases: pd.DataFrame) -> Iterator[tuple[str, str, str, str, pd.DataFrame]]:
    parts = part_of(cases["kind"])
    by_site = (cases["held_out"] == "site").all()
    for part in (ALL, "gemm", "attention", "rest") if by_site else (ALL,):
        of_part = cases if part == ALL else cases[parts == part]
        for quantity in ("energy", "time", "power"):
            of_method = of_part[of_part["method"] == ("events" if quantity == "time" else "window")]
            for execution in sorted(of_method["execution"].unique()):
                here = of_method[of_method["execution"] == execution]
                yield part, quantity, execution, ALL, here
                long = here[here["measured_duration_s"] > LONG_FROM_S]
                if not long.empty:
                    yield part, quantity, execution, LONG, long


def _tree_groups(cases: pd.DataFrame) -> Iterator[tuple[str, str, str, str, pd.DataFrame]]:
    utilization_pct = cases["gpu_utilization_pct"].astype(float)
    regimes = utilization_pct.map(regime_of)
    border = utilization_pct.between(*BORDER_PCT)
    for quantity in ("energy", WATCHED, "time"):
        for execution in sorted(cases["execution"].unique(), key=EXECUTIONS.index):
            for regime in (GPU_BOUND, HOST_BOUND, UNKNOWN, BORDER):
                here = cases[(cases["execution"] == execution) & (border if regime == BORDER else regimes == regime)]
                if quantity == WATCHED:  # not every run was
                    here = here[here["watched_energy_j"].notna()]
                if not here.empty:
                    yield ALL, quantity, execution, regime, here


def _summarise(cases: pd.DataFrame, quantity: str) -> dict[str, float]:
    measured, predicted = (cases[name].to_numpy(dtype=float) for name in QUANTITIES[quantity])
    errors_pct = absolute_percentage_errors(measured, predicted)
    families = cases["family"].astype(str)
    energy = quantity == "energy"
    low, high = ("watched_low_j", "watched_high_j") if quantity == WATCHED else ("low_j", "high_j")
    summary: dict[str, float] = {
        "cases": len(cases),
        "families": families.nunique(),
        "family_mean_mape_pct": family_mean_mape_pct(errors_pct, families),
        "mape_pct": mape_pct(errors_pct),
        "median_ape_pct": median_ape_pct(errors_pct),
        "p90_ape_pct": p90_ape_pct(errors_pct),
        "worst_ape_pct": worst_ape_pct(errors_pct),
        "bias_pct": float(np.median(predicted / measured - 1) * 100),
        "coverage_pct": coverage_pct(measured, cases[low], cases[high]) if energy or quantity == WATCHED else np.nan,
    }
    for name in ("noise_floor_pct", "card_noise_pct"):
        # Noise is that of the energy, and of the time where a case has no energy.
        noise_pct = cases[name].astype(float) * (1 if energy or (cases["method"] == "events").all() else np.nan)
        summary |= _family_mean(name, noise_pct, families)
    for name in BASELINES:
        said = cases[name].astype(float) if energy and name in cases else pd.Series(np.nan, index=cases.index)
        summary |= _family_mean(name, (said / measured - 1).abs() * 100, families)
    return summary


def _family_mean(name: str, errors_pct: pd.Series[float], families: pd.Series[str]) -> dict[str, float]:
    known = errors_pct.notna()
    mean = family_mean_mape_pct(errors_pct[known], families[known]) if known.any() else np.nan
    return {name: mean, f"{name}_cases": int(known.sum())}


def _cell(row: pd.Series, name: str) -> str:
    value = row[name]
    if isinstance(value, str):
        return value
    if name in ("cases", "families"):
        return str(int(value))
    if np.isnan(value):
        return "-"
    about = row.get(f"{name}_cases", row["cases"])
    return f"{value:.1f}" if about == row["cases"] else f"{value:.1f} ({int(about)})"
