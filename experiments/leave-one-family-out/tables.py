"""The tables of this experiment, each from judged cases or from the table of errors."""

from __future__ import annotations

import pandas as pd

from irene.dataset.summary import to_markdown as frame_to_markdown
from irene.evaluation.error_sources import tabulate_by_operator, tabulate_by_size, tabulate_worst_sites
from irene.evaluation.noise import regime_of

CASE_COLUMNS = [
    "held_out", "family", "level", "kind", "name", "model", "path", "batch_size", "seq_len", "dtype", "execution",
    "weights", "gpu_utilization_pct", "measured_energy_j", "predicted_energy_j", "low_j", "high_j",
    "measured_duration_s", "predicted_duration_s", "measured_power_w", "predicted_power_w", "power_cap_roofline_j",
    "flop_proportional_j", "sum_of_leaves_j", "noise_floor_pct", "card_noise_pct",
]  # fmt: skip
SHORT = {
    "held_out": "held out", "level": "level", "part": "part", "quantity": "quantity", "execution": "execution",
    "regime": "regime", "cases": "cases", "families": "families", "family_mean_mape_pct": "family mean %",
    "mape_pct": "mean %", "median_ape_pct": "median %", "p90_ape_pct": "p90 %", "worst_ape_pct": "worst %",
    "bias_pct": "bias %", "coverage_pct": "in interval %",
}  # fmt: skip
TITLES = {
    "half_width_pct": "median half-width %", "coverage_pct": "coverage %", "standard_error_pct": "standard error %",
    "of_medians_pct": "of medians over cards %",
    "site_mean_pct": "site mean %", "median_pct": "median %", "p90_pct": "p90 %", "bias_pct": "bias %",
    "share_pct": "share of the error %", "mean": "mean over seeds %", "min": "least %", "max": "most %", "met": "met?",
}  # fmt: skip
FRONT_PAGE = (
    "models, GPU-bound, eager: energy, family mean",
    "models, captured: energy, family mean",
    "models, host-bound, eager: energy, family mean",
)
SMALLEST_SHARE_PCT = 1.0  # of the README's table of kinds; all are in sources.csv


def write_goals(goals: pd.DataFrame) -> str:
    return write_table(goals.rename(columns={**TITLES, "goal": "goal %"}))


def write_front_page(goals: pd.DataFrame) -> str:
    """The three lines of the front page: energy of whole models, by what limits them."""
    lines = goals[goals["of"].isin(FRONT_PAGE)]
    return write_table(lines[["of", "mean", "min", "max"]].rename(columns=TITLES))


def write_coverage(coverage: pd.DataFrame) -> str:
    return write_table(coverage.rename(columns=TITLES))


def tabulate_sources(judged: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """By kind and dtype, by size, and the worst sites: primitives above 20 us, whole sites held out."""
    return {
        "By kind and dtype": tabulate_by_operator(judged), "By size": tabulate_by_size(judged),
        "The sites with the largest summed error of time": tabulate_worst_sites(judged),
    }  # fmt: skip


def write_sources(sources: dict[str, pd.DataFrame]) -> str:
    parts = []
    for title, table in sources.items():
        shown = table[table["share_pct"] >= SMALLEST_SHARE_PCT] if "kind" in table else table
        parts.append(f"### {title}\n\n{write_table(shown.rename(columns=TITLES)).rstrip()}\n")
    return "\n".join(parts)


def main_rows(table: pd.DataFrame) -> pd.DataFrame:
    """What README.md here shows: energy everywhere, time of primitives; sites part by part, above 20 us."""
    energy = table["quantity"].str.startswith("energy")
    energy |= (table["quantity"] == "time") & (table["level"] == "primitive")
    brief = (table["held_out"] != "site") | ((table["part"] != "all") & (table["regime"] == "above 20 us"))
    return table[energy & brief]


def by_family(cases: pd.DataFrame) -> pd.DataFrame:
    trees = cases[(cases["level"] != "primitive") & (cases["held_out"] != "site")].copy()
    trees["regime"] = trees["gpu_utilization_pct"].astype(float).map(regime_of)
    energy = trees["predicted_energy_j"] / trees["measured_energy_j"] - 1
    time = trees["predicted_duration_s"] / trees["measured_duration_s"] - 1
    trees = trees.assign(energy=100 * energy.abs(), bias=100 * energy, time=100 * time.abs())
    keys = ["held_out", "level", "execution", "regime", "family"]
    columns = {"cases": ("energy", "size"), "energy mean": ("energy", "mean"), "energy bias": ("bias", "median")}
    return trees.groupby(keys).agg(**columns, **{"time mean": ("time", "mean")}).reset_index()


def by_kind(judged: pd.DataFrame) -> pd.DataFrame:
    leaves = judged[(judged["level"] == "primitive") & (judged["held_out"] != "reserved family")]
    events = leaves["method"] == "events"
    parts = []
    for column, quantity, here in (("duration_s", "time", events), ("energy_j", "energy", ~events)):
        error = 100 * (leaves[f"predicted_{column}"] / leaves[f"measured_{column}"] - 1)[here]
        groups = leaves[here].assign(error=error, size=error.abs()).groupby(["held_out", "kind", "dtype"])
        summary = groups.agg(
            cases=("size", "size"), mean=("size", "mean"), median=("size", "median"), bias=("error", "median")
        )
        parts.append(summary.reset_index().assign(quantity=quantity))
    return pd.concat(parts, ignore_index=True)


def worst_models(cases: pd.DataFrame, count: int = 20) -> pd.DataFrame:
    models = cases[(cases["level"] != "primitive") & (cases["held_out"] == "family")]
    shown = models[
        ["family", "model", "path", "batch_size", "seq_len", "dtype", "execution", "gpu_utilization_pct"]
    ].copy()
    for name, column in (("energy", "energy_j"), ("time", "duration_s"), ("power", "power_w")):
        shown[name] = 100 * (models[f"predicted_{column}"] / models[f"measured_{column}"] - 1)
    return shown.loc[shown["energy"].abs().sort_values(ascending=False).index].head(count)


def write_table(frame: pd.DataFrame) -> str:
    return frame_to_markdown(frame.round(1).astype(object).where(frame.notna(), "-"))


def compare_seeds(tables: dict[int, pd.DataFrame]) -> pd.DataFrame:
    """The family mean of every main row, seed by seed: a difference below their spread means nothing."""
    keys = ["held_out", "level", "part", "quantity", "execution", "regime"]
    means = {f"seed {seed}": main_rows(table).set_index(keys)["family_mean_mape_pct"] for seed, table in tables.items()}
    return pd.DataFrame(means).reset_index()


def front_rows(table: pd.DataFrame) -> pd.DataFrame:
    """What docs/accuracy.md shows: trees with families held out, the reserve apart; primitives with sites."""
    trees = (table["level"] != "primitive") & table["quantity"].str.startswith("energy")
    parts = (table["held_out"] == "site") & (table["part"] != "all") & (table["regime"] == "above 20 us")
    border = table["regime"].str.startswith("border")
    watched_modules = (table["level"] == "module") & (table["quantity"] != "energy")
    brief = table[(trees & ~border & ~watched_modules) | (parts & (table["quantity"] != "power"))]
    columns = ["held_out", "level", "part", "quantity", "execution", "regime", "cases", "families"]
    columns += ["family_mean_mape_pct", "p90_ape_pct", "coverage_pct", "noise_floor_pct", "card_noise_pct"]
    return brief[[*columns, *(name for name in table.columns if name.startswith(("power_cap", "flop_", "sum_of")))]]
