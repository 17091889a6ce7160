"""How wrong is the shipped predictor on families that it has no row of? Writes cases.csv and the tables of the README.

python experiments/new-families/run.py [--data data/h200-new] [--training data/h200]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from irene.dataset.row_devices import find_device
from irene.dataset.store import load_rows
from irene.dataset.summary import to_markdown
from irene.evaluation.judging import judge
from irene.hardware.spec import DeviceSpec
from irene.predictor.bundle import load_bundle, shipped_bundle
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
_GPU_BOUND_PCT = 85.0
_SETTLED = "h200-settled"  # the collection whose batch norms hold what training would leave
_KEPT = [
    "families", "model", "execution", "dtype", "batch_size", "seq_len", "runs", "regime", "measured_energy_j",
    "predicted_energy_j", "low_j", "high_j", "energy_error_pct", "time_error_pct",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "h200-new")
    parser.add_argument("--training", type=Path, default=ROOT / "data" / "h200", help="for the FLOP baseline")
    options = parser.parse_args()

    rows = load_rows(options.data)
    spec = find_device(rows)
    faded = find_faded(rows)
    cases, as_initialised = (judge_models(rows[own], load_rows(options.training), spec) for own in (~faded, faded))
    cases[_KEPT].to_csv(HERE / "cases.csv", index=False, float_format="%.4g")
    compared = pd.concat(
        [
            tabulate_regimes(part).assign(signals=signals)
            for part, signals in (
                (cases[cases["families"].isin(as_initialised["families"])], "settled"),
                (as_initialised, "faded"),
            )
        ]
    )
    kept = ["signals", "regime", "cases", "families", "energy, family mean %", "time, family mean %"]
    compared = compared.loc[compared["regime"] != "host", kept].sort_values("regime", kind="stable")
    tables = {"regimes": tabulate_regimes(cases), "families": tabulate_families(cases), "faded": compared}
    for name, table in tables.items():
        marks = (f"<!-- {name}: begin -->", f"<!-- {name}: end -->")
        write_between_marks(
            HERE / "README.md", to_markdown(table.round(1).astype(object).where(table.notna(), "-")), *marks
        )


def find_faded(rows: pd.DataFrame) -> pd.Series:
    """Which rows are of signals that had faded on their way, and of cases that the GPU decides: shown apart.

    Those of families in the settled collection that others hold too. Where the host decides, signals matter little,
    and every run counts.
    """
    is_bound = (rows["gpu_utilization_pct"] >= _GPU_BOUND_PCT) | (rows["execution"] == "cuda_graph")
    settled = rows["collection"] == _SETTLED
    families = set(rows.loc[settled & ~rows["reference"], "families"])
    return is_bound & ~settled & rows["families"].isin(families)


def judge_models(rows: pd.DataFrame, training: pd.DataFrame, spec: DeviceSpec) -> pd.DataFrame:
    """Whole models among `rows`, with `regime` and the errors of energy and time in per cent."""
    cases = judge(load_bundle(shipped_bundle(spec.name)), rows, training, spec)
    cases = cases[(cases["level"] == "model") & (cases["method"] == "window")].reset_index(drop=True)
    is_bound = cases["gpu_utilization_pct"] >= _GPU_BOUND_PCT
    cases["regime"] = np.where(cases["execution"] == "cuda_graph", "captured", np.where(is_bound, "GPU-bound", "host"))
    cases["energy_error_pct"] = 100 * (cases["predicted_energy_j"] / cases["measured_energy_j"] - 1)
    cases["time_error_pct"] = 100 * (cases["predicted_duration_s"] / cases["measured_duration_s"] - 1)
    return cases


def tabulate_regimes(cases: pd.DataFrame) -> pd.DataFrame:
    """A row a regime: errors of energy and time as means over families, coverage and width, the baselines beside."""
    rows = []
    for regime, own in cases.groupby("regime"):
        absolute = own[["energy_error_pct", "time_error_pct"]].abs()
        by_family = absolute.groupby(own["families"]).mean()
        baselines = {
            "cap x roofline %": own["power_cap_roofline_j"],
            "FLOP-proportional %": own["flop_proportional_j"],
            "sum of leaves %": own["sum_of_leaves_j"],
        }
        rows.append({
            "regime": regime, "cases": len(own), "families": len(by_family),
            "energy, family mean %": by_family["energy_error_pct"].mean(),
            "energy, median %": absolute["energy_error_pct"].median(),
            "time, family mean %": by_family["time_error_pct"].mean(),
            "in interval %": 100 * own["measured_energy_j"].between(own["low_j"], own["high_j"]).mean(),
            "median half-width %": (50 * (own["high_j"] - own["low_j"]) / own["predicted_energy_j"]).median(),
            **{
                name: 100 * (values / own["measured_energy_j"] - 1).abs().groupby(own["families"]).mean().mean()
                for name, values in baselines.items()
            },
        })  # fmt: skip
    return pd.DataFrame(rows)


def tabulate_families(cases: pd.DataFrame) -> pd.DataFrame:
    """A row a family: its cases and the mean error of energy with its sign, by regime."""
    signed = cases.pivot_table(index="families", columns="regime", values="energy_error_pct", aggfunc="mean")
    return signed.assign(cases=cases.groupby("families").size()).reset_index()


if __name__ == "__main__":
    main()
