"""The error table: one row a level, execution and regime, never one average over them.

Input is one frame of judged cases, whatever folds they came from. Columns of a judged case: `level` (primitive, module,
model), `execution`, `gpu_utilization_pct` (NaN: not measured), `family` (the held-out one), `dtype`,
`measured_energy_j` (median of repeats), `predicted_energy_j`, `low_j`, `high_j`, `noise_floor_pct` (of the case, NaN
without repeats) and one column of predicted joules for each baseline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

JUDGED_COLUMNS = (
    "level", "execution", "gpu_utilization_pct", "family", "dtype", "measured_energy_j", "predicted_energy_j",
    "low_j", "high_j", "noise_floor_pct",
)  # fmt: skip
BASELINES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "power_cap_roofline_j": "cap x roofline",
        "flop_proportional_j": "FLOP-proportional",
        "sum_of_leaves_j": "sum of leaves",
    }
)
GPU_BOUND_FROM_PCT = 85.0
BORDER_PCT = (70.0, 95.0)
GPU_BOUND, HOST_BOUND, UNKNOWN, BORDER = "GPU-bound", "host-bound", "not measured", "border 70-95 %"
_LEVELS = ("primitive", "module", "model")
_EXECUTIONS = ("eager", "cuda_graph")
_TITLES = {
    "level": "level", "execution": "execution", "regime": "regime", "cases": "cases", "families": "families",
    "family_mean_mape_pct": "family mean %", "mape_pct": "mean %", "median_ape_pct": "median %",
    "p90_ape_pct": "p90 %", "worst_ape_pct": "worst %", "coverage_pct": "in interval %",
    "noise_floor_pct": "noise floor %",
}  # fmt: skip


def regime_of(gpu_utilization_pct: float) -> str:
    """'GPU-bound' from 85 % mean utilisation on, 'host-bound' below, 'not measured' for NaN."""
    if np.isnan(gpu_utilization_pct):
        return UNKNOWN
    return GPU_BOUND if gpu_utilization_pct >= GPU_BOUND_FROM_PCT else HOST_BOUND


def tabulate_errors(judged: pd.DataFrame, baselines: Sequence[str] | None = None) -> pd.DataFrame:
    """The table of errors of `judged` cases, a row for each (level, execution, regime) that has cases.

    The regime 'border 70-95 %' repeats cases of the other two: it says how much depends on where the line is drawn.
    `noise_floor_pct` is the family mean over the `noise_cases` that were repeated. Each baseline (by default those of
    `BASELINES` that the frame has) gives its family mean over the `<baseline>_cases` that it says something about,
    NaN if there are none. Lower is better everywhere, but for coverage.

    Raises `BadDataset` if columns are missing or there are no cases.
    """
    missing = [name for name in JUDGED_COLUMNS if name not in judged.columns]
    if missing:
        raise BadDataset(f"Judged cases lack the columns {', '.join(missing)}.")
    if judged.empty:
        raise BadDataset("No judged cases: no family or site was held out. Load more rows.")
    shown = [name for name in BASELINES if name in judged.columns] if baselines is None else list(baselines)
    table = []
    for level, execution, regime, cases in _groups(judged):
        table.append({"level": level, "execution": execution, "regime": regime, **_summarise(cases, shown)})
    return pd.DataFrame(table)


def to_markdown(table: pd.DataFrame) -> str:
    """The table as Markdown, one decimal. '-' is not known; '31.2 (40)' speaks about 40 of the row's cases only."""
    shown = [name for name in table.columns if name in _TITLES or f"{name}_cases" in table.columns]
    titles = [_TITLES.get(name) or BASELINES.get(name, name).removesuffix("_j") + " %" for name in shown]
    right = [" | ".join("---" if i < 3 else "---:" for i in range(len(shown)))]
    lines = [" | ".join(titles), *right]
    for _, row in table.iterrows():
        lines.append(" | ".join(_cell(row, name) for name in shown))
    return "\n".join(f"| {line} |" for line in lines) + "\n"


def _groups(judged: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    utilization_pct = judged["gpu_utilization_pct"].astype(float)
    regimes = utilization_pct.map(regime_of)
    border = utilization_pct.between(*BORDER_PCT)
    levels = [*_LEVELS, *sorted(set(judged["level"]) - set(_LEVELS))]
    executions = [*_EXECUTIONS, *sorted(set(judged["execution"]) - set(_EXECUTIONS))]
    for level in levels:
        for execution in executions:
            here = (judged["level"] == level) & (judged["execution"] == execution)
            for regime in (GPU_BOUND, HOST_BOUND, UNKNOWN, BORDER):
                cases = judged[here & (border if regime == BORDER else regimes == regime)]
                if not cases.empty:
                    yield level, execution, regime, cases


def _summarise(cases: pd.DataFrame, baselines: Sequence[str]) -> dict[str, float]:
    measured_j = cases["measured_energy_j"].to_numpy(dtype=float)
    errors_pct = absolute_percentage_errors(measured_j, cases["predicted_energy_j"].to_numpy(dtype=float))
    families = cases["family"].astype(str)
    noise_pct = cases["noise_floor_pct"].astype(float)
    repeated = noise_pct.notna()
    summary: dict[str, float] = {
        "cases": len(cases),
        "families": families.nunique(),
        "family_mean_mape_pct": family_mean_mape_pct(errors_pct, families),
        "mape_pct": mape_pct(errors_pct),
        "median_ape_pct": median_ape_pct(errors_pct),
        "p90_ape_pct": p90_ape_pct(errors_pct),
        "worst_ape_pct": worst_ape_pct(errors_pct),
        "coverage_pct": coverage_pct(measured_j, cases["low_j"], cases["high_j"]),
        "noise_floor_pct": family_mean_mape_pct(noise_pct[repeated], families[repeated]) if repeated.any() else np.nan,
        "noise_cases": int(repeated.sum()),
    }
    for name in baselines:
        said = cases[name].notna().to_numpy()
        summary[name] = np.nan
        if said.any():
            wrong_pct = absolute_percentage_errors(measured_j[said], cases[name].to_numpy(dtype=float)[said])
            summary[name] = family_mean_mape_pct(wrong_pct, families[said])
        summary[f"{name}_cases"] = int(said.sum())
    return summary


def _cell(row: pd.Series, name: str) -> str:
    value = row[name]
    if isinstance(value, str):
        return value
    if name in ("cases", "families"):
        return str(int(value))
    if np.isnan(value):
        return "-"
    about = row["noise_cases"] if name == "noise_floor_pct" else row.get(f"{name}_cases", row["cases"])
    return f"{value:.1f}" if about == row["cases"] else f"{value:.1f} ({int(about)})"
