"""Where the error of primitives sits: by operator and dtype, by size, by site. Of those above 20 us, sites held out.

Input are judged cases (`judge`, with `held_out` and `family`, which is the site). Time is judged on CUDA events, energy
on windows. Errors are absolute, in per cent; `share_pct` is the group's part of the summed error of its quantity.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from irene.errors import BadDataset
from irene.evaluation.error_table import LONG_FROM_S, part_of
from irene.evaluation.metrics import absolute_percentage_errors

TIME, ENERGY = "time", "energy"
_COLUMN = {TIME: "duration_s", ENERGY: "energy_j"}
_METHOD = {TIME: "events", ENERGY: "window"}
# Decades of duration, from where primitives are judged at all.
_EDGES_S = (LONG_FROM_S, 1e-4, 1e-3, 1e-2, np.inf)
_SIZES = ("20 to 100 us", "0.1 to 1 ms", "1 to 10 ms", "above 10 ms")


def long_primitives(judged: pd.DataFrame, quantity: str) -> pd.DataFrame:
    """Primitives above 20 us of held-out sites, with `error_pct` (signed), `part`, `size` and `site` added.

    Raises `BadDataset` where none were judged.
    """
    here = (judged["held_out"] == "site") & (judged["level"] == "primitive") & (judged["method"] == _METHOD[quantity])
    cases = judged[here & (judged["measured_duration_s"] > LONG_FROM_S)]
    if cases.empty:
        raise BadDataset(f"No primitives above 20 us with a measured {quantity}, sites held out, were judged.")
    measured, predicted = (cases[f"{side}_{_COLUMN[quantity]}"] for side in ("measured", "predicted"))
    size = pd.cut(cases["measured_duration_s"], list(_EDGES_S), labels=list(_SIZES)).astype(str)
    return cases.assign(
        error_pct=100 * (predicted / measured - 1), absolute_pct=absolute_percentage_errors(measured, predicted),
        part=part_of(cases["kind"]), size=size, site=cases["family"],
    )  # fmt: skip


def tabulate_by_operator(judged: pd.DataFrame) -> pd.DataFrame:
    """Time and energy by kind of primitive and dtype, the largest share of the error first."""
    return _tabulate(judged, ["kind", "dtype"])


def tabulate_by_size(judged: pd.DataFrame) -> pd.DataFrame:
    """Time and energy by part (gemm, attention, rest) and decade of duration."""
    table = _tabulate(judged, ["part", "size"])
    keys = [table["size"].map(_SIZES.index), table["part"], table["quantity"] == ENERGY]  # the last is the first
    return table.iloc[np.lexsort(keys)].reset_index(drop=True)


def tabulate_worst_sites(judged: pd.DataFrame, count: int = 15) -> pd.DataFrame:
    """The sites with the largest summed error of time: what to measure more of, or to understand."""
    table = _tabulate(judged, ["part", "site"])
    return table[table["quantity"] == TIME].head(count).reset_index(drop=True)


def _tabulate(judged: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Groups by descending share: cases, sites, mean over sites, median and p90 over cases, bias, share."""
    tables = []
    for quantity in (TIME, ENERGY):
        cases = long_primitives(judged, quantity)
        groups = cases.groupby(keys)
        by_site = cases.groupby([*keys, *([] if "site" in keys else ["site"])])["absolute_pct"].mean()
        table = pd.DataFrame({
            "quantity": quantity, "cases": groups.size(), "sites": groups["site"].nunique(),
            "site_mean_pct": by_site.groupby(level=keys).mean(), "median_pct": groups["absolute_pct"].median(),
            "p90_pct": groups["absolute_pct"].quantile(0.9), "bias_pct": groups["error_pct"].median(),
            "share_pct": 100 * groups["absolute_pct"].sum() / cases["absolute_pct"].sum(),
        })  # fmt: skip
        tables.append(table.reset_index().sort_values("share_pct", ascending=False, kind="stable"))
    return pd.concat(tables, ignore_index=True)
