"""What does each idea save in joules, beside what its FLOP promise? Writes cases.csv, savings.svg and two tables.

python experiments/variants/run.py [--plan data/plans/variants.toml] [--data data/h200-variants] [--no-figure]
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import pandas as pd

import irene
from irene.dataset.store import label_cases, load_rows
from irene.dataset.summary import to_markdown
from irene.hardware.devices import load_device
from irene.measuring.plan import ModelCase, load_plan
from irene.primitives.shapes import compute_dtype
from irene.primitives.work import count_work
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
_REGIMES = {"cuda_graph": "large", "eager": "batch 1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plan", type=Path, default=ROOT / "data" / "plans" / "variants.toml")
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "h200-variants")
    parser.add_argument("--no-figure", action="store_true", help="leave savings.svg as it is")
    options = parser.parse_args()

    cases = [case for case in load_plan(options.plan).models if isinstance(case, ModelCase)]
    table = compare_with_base(pd.DataFrame([predict(case) for case in cases]), read_measured(options.data))
    table.to_csv(HERE / "cases.csv", index=False, float_format="%.4g")
    for name, regime in (("large", "large"), ("one", "batch 1")):
        marks = (f"<!-- {name}: begin -->", f"<!-- {name}: end -->")
        write_between_marks(HERE / "README.md", to_markdown(tabulate(table[table["regime"] == regime])), *marks)
    if not options.no_figure:
        draw(table, HERE / "savings.svg")


def predict(case: ModelCase) -> dict[str, Any]:
    """One case: predicted joules an instance with their interval, and the seconds of its products at the peak."""
    workload = case.workload
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = irene.predict(
            case.model, batch_size=workload.batch_size, seq_len=workload.seq_len, execution=workload.execution
        )
    base, _, variant = case.model.partition("+")
    spec = load_device("h200")
    calls = [leaf.call for leaf in found.tree.root.leaves if leaf.call is not None]
    products = [call for call in calls if count_work(call).matmul_flop]
    peak_s = sum(count_work(call).matmul_flop / spec.peak(compute_dtype(call)) for call in products)
    shares = found.provenance_shares
    return {
        "case": case.key, "base": base, "variant": variant, "regime": _REGIMES[workload.execution],
        "batch_size": workload.batch_size, "seq_len": workload.seq_len,
        "product_s": peak_s / workload.batch_size, "predicted_j": found.energy_j / workload.batch_size,
        "low_j": found.interval_j[0] / workload.batch_size, "high_j": found.interval_j[1] / workload.batch_size,
        "unsure_pct": 100 * (shares["extrapolated"] + shares["fallback"]),
    }  # fmt: skip


def read_measured(folder: Path) -> pd.Series:
    """Median joules of a call by case; empty where nothing was measured yet."""
    if not folder.is_dir():
        return pd.Series(dtype=float, name="measured")
    rows = load_rows(folder)
    cases = label_cases(rows[rows["energy_j"].notna()])
    return cases.set_index("case")["energy_j"].rename("measured")


def compare_with_base(cases: pd.DataFrame, measured: pd.Series) -> pd.DataFrame:
    """Each variant beside its base in the same regime: what is saved of an instance, in per cent of the base."""
    cases = cases.assign(measured_j=cases["case"].map(measured).astype(float) / cases["batch_size"])
    bases = cases[cases["variant"] == ""].set_index(["base", "regime"])
    rows = cases[cases["variant"] != ""].copy()
    keys = list(zip(rows["base"], rows["regime"], strict=True))
    for name, column in (("flop_saved_pct", "product_s"), ("predicted_saved_pct", "predicted_j"),
                         ("measured_saved_pct", "measured_j")):  # fmt: skip
        rows[name] = 100 * (1 - rows[column].to_numpy() / bases[column].reindex(keys).to_numpy())
    return rows.reset_index(drop=True)


def tabulate(rows: pd.DataFrame) -> pd.DataFrame:
    """What people read: the promise, the prediction, the measurement."""
    shown = pd.DataFrame({
        "model": rows["base"].str.rpartition("/")[2], "variant": "`+" + rows["variant"] + "`",
        "batch": rows["batch_size"], "its products promise %": rows["flop_saved_pct"].round(1),
        "joules predicted %": rows["predicted_saved_pct"].round(1),
        "measured %": rows["measured_saved_pct"].round(1),
        "J an instance, 90 % interval": [
            f"{j:.3g} ({low:.2g} to {high:.2g})" for j, low, high in rows[["predicted_j", "low_j", "high_j"]].to_numpy()
        ],
        "extrapolated or fallback %": rows["unsure_pct"].round(0).astype(int),
    })  # fmt: skip
    return shown.astype(object).where(shown.notna(), "not measured")


def draw(table: pd.DataFrame, path: Path) -> None:
    """Joules of a variant over those of its base, a row each and a panel a regime: promised, predicted and measured."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "variants"
    from matplotlib import pyplot

    marks = {
        "flop_saved_pct": ("its products promise", "D", "0.6"),
        "predicted_saved_pct": ("predicted", "o", "tab:blue"),
        "measured_saved_pct": ("measured", "x", "tab:red"),
    }
    figure, panels = pyplot.subplots(1, 2, figsize=(12, 6), sharex=True, constrained_layout=True)
    for panel, regime in zip(panels, ("large", "batch 1"), strict=True):
        rows = table[table["regime"] == regime]
        names = rows["base"].str.rpartition("/")[2].replace("bert-base-uncased", "BERT-base") + " +" + rows["variant"]
        panel.axvline(1, color="0.8", linewidth=1)
        for column, (label, marker, color) in marks.items():
            if rows[column].notna().any():
                panel.scatter(1 - rows[column] / 100, range(len(rows)), marker=marker, color=color, label=label)
        panel.set(title=regime, xlabel="joules of an instance / those of the base", xscale="log")
        panel.set_yticks(range(len(rows)), names, fontsize=8)
        panel.invert_yaxis()
        panel.grid(axis="x", color="0.92")
    panels[0].xaxis.set_major_locator(mpl.ticker.FixedLocator([0.1, 0.2, 0.5, 1, 2, 5, 10]))
    panels[0].xaxis.set_major_formatter(mpl.ticker.FormatStrFormatter("%g"))
    panels[0].xaxis.set_minor_locator(mpl.ticker.NullLocator())
    panels[0].legend(loc="best", fontsize=8)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
