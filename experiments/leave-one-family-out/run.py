"""Leave one family out on the measured H200 rows: writes table.csv, table.md, cases.csv and the table in README.md.

python experiments/leave-one-family-out/run.py [--reserve] [--seeds 0 1 2] [--data data/h200]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pandas as pd

from irene.dataset.store import load_rows
from irene.dataset.summary import label_runs
from irene.dataset.summary import to_markdown as frame_to_markdown
from irene.evaluation import judge_dataset
from irene.evaluation.error_table import tabulate_errors, to_markdown
from irene.evaluation.held_out import save_held_out
from irene.evaluation.noise import regime_of, tabulate_noise
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
BUILD = ROOT / "build"  # other experiments judge by the same folds
FRONT_MARKS = ("<!-- errors: begin -->", "<!-- errors: end -->")
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "h200")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="the first one's table is written")
    parser.add_argument("--reserve", action="store_true", help="judge the reserved families too: once per release")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()

    rows = load_rows(options.data)
    noise = tabulate_noise(rows.assign(run=label_runs(rows, options.data)))
    judged = {}
    for seed in options.seeds:
        print(f"seed {seed}", file=sys.stderr)
        judged[seed] = judge_dataset(options.data, seed, reserve=options.reserve, jobs=options.jobs)
        save_held_out(judged[seed], options.data, BUILD / f"held-out{f'-seed-{seed}' if seed else ''}.parquet", seed)
    first = judged[options.seeds[0]]
    table = tabulate_errors(first)
    seeds = compare_seeds({seed: tabulate_errors(cases) for seed, cases in judged.items()})

    table.to_csv(HERE / "table.csv", index=False, float_format="%.4g")
    cases = first[first["method"] == "window"]
    cases[CASE_COLUMNS].to_csv(HERE / "cases.csv", index=False, float_format="%.5g")
    sections = {
        "Errors": to_markdown(table),
        "Noise floor": write_table(noise),
        "Models and modules by family": write_table(by_family(cases)),
        "Primitives by kind": write_table(by_kind(first)),
        "The worst models": write_table(worst_models(cases)),
        "Seeds": write_table(seeds),
    }
    text = "\n".join(f"## {title}\n\n{body.rstrip()}\n" for title, body in sections.items())
    (HERE / "table.md").write_text(f"# Leave one family out\n\nAll numbers are per cent errors.\n\n{text}", "utf-8")
    shown = main_rows(table)[[*SHORT, *table.columns[table.columns.get_loc("coverage_pct") + 1 :]]]
    write_between_marks(HERE / "README.md", to_markdown(shown))
    write_between_marks(ROOT / "README.md", to_markdown(front_rows(table)), *FRONT_MARKS)


def main_rows(table: pd.DataFrame) -> pd.DataFrame:
    """What the README shows: energy everywhere, time of primitives; sites part by part, above 20 us."""
    energy = table["quantity"].str.startswith("energy")
    energy |= (table["quantity"] == "time") & (table["level"] == "primitive")
    brief = (table["held_out"] != "site") | ((table["part"] != "all") & (table["regime"] == "above 20 us"))
    return table[energy & brief]


def by_family(cases: pd.DataFrame) -> pd.DataFrame:
    wholes = cases[(cases["level"] != "primitive") & (cases["held_out"] != "site")].copy()
    wholes["regime"] = wholes["gpu_utilization_pct"].astype(float).map(regime_of)
    energy = wholes["predicted_energy_j"] / wholes["measured_energy_j"] - 1
    time = wholes["predicted_duration_s"] / wholes["measured_duration_s"] - 1
    wholes = wholes.assign(energy=100 * energy.abs(), bias=100 * energy, time=100 * time.abs())
    keys = ["held_out", "level", "execution", "regime", "family"]
    columns = {"cases": ("energy", "size"), "energy mean": ("energy", "mean"), "energy bias": ("bias", "median")}
    return wholes.groupby(keys).agg(**columns, **{"time mean": ("time", "mean")}).reset_index()


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
    """What the project's front page shows: wholes with families held out, the reserve apart; primitives with sites."""
    wholes = (table["level"] != "primitive") & table["quantity"].str.startswith("energy")
    parts = (table["held_out"] == "site") & (table["part"] != "all") & (table["regime"] == "above 20 us")
    border = table["regime"].str.startswith("border")
    watched_modules = (table["level"] == "module") & (table["quantity"] != "energy")
    brief = table[(wholes & ~border & ~watched_modules) | (parts & (table["quantity"] != "power"))]
    columns = ["held_out", "level", "part", "quantity", "execution", "regime", "cases", "families"]
    columns += ["family_mean_mape_pct", "p90_ape_pct", "coverage_pct", "noise_floor_pct", "card_noise_pct"]
    return brief[[*columns, *(name for name in table.columns if name.startswith(("power_cap", "flop_", "sum_of")))]]


if __name__ == "__main__":
    main()
