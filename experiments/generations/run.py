"""How wrong is a generation, or one step of it? Writes cases.csv and the tables of the README.

python experiments/generations/run.py [--data data/h200]

Run it with the transformers that the rows were measured with: a generation is predicted by name.
"""

from __future__ import annotations

import argparse
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import transformers

import irene
from irene.dataset.store import load_rows
from irene.dataset.summary import to_markdown
from irene.hardware.devices import load_device
from irene.hardware.spec import DeviceSpec
from irene.predictor.prediction import Prediction
from irene.predictor.training_data import read_tree
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
_GPU_BOUND_PCT = 85.0
_KEPT = [
    "level", "families", "model", "execution", "dtype", "batch_size", "seq_len", "new_tokens", "context_len", "cache",
    "runs", "gpu_utilization_pct", "what", "energy_j", "first_j", "predicted_j", "low_j", "high_j",
    "duration_s", "predicted_s", "peak_bytes", "predicted_peak_bytes", "weights_at_cap_j",
]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "h200")
    options = parser.parse_args()

    rows = load_rows(options.data)
    rows = take_medians(rows[rows["level"].isin(["generation", "decode_step"])])
    measured_with = {dict(read_tree(tree).versions)["transformers"] for tree in rows["tree"]}
    if transformers.__version__ not in measured_with:
        print(f"Measured with transformers {', '.join(measured_with)}, traced with {transformers.__version__}.")
    spec = load_device("h200")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        predicted = pd.DataFrame([predict(row, spec) for _, row in rows.iterrows()])
    cases = pd.concat([rows, predicted], axis=1)[_KEPT]
    cases.to_csv(HERE / "cases.csv", index=False, float_format="%.4g")
    for name, table in (("errors", tabulate_errors(cases)), ("cases", tabulate_cases(cases))):
        marks = (f"<!-- {name}: begin -->", f"<!-- {name}: end -->")
        shown = table.astype(object).where(table.notna(), "-")
        write_between_marks(HERE / "README.md", to_markdown(shown), *marks)


def take_medians(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a case: medians over its runs of what each measures anew, the joules of the first, how many runs it has."""
    by_case = rows.groupby("case", sort=False)
    found = by_case.first()
    for name in ("energy_j", "duration_s", "gpu_utilization_pct", "peak_memory_bytes"):
        found[name] = by_case[name].median()
    return found.assign(first_j=by_case["energy_j"].first(), runs=by_case.size()).reset_index()


def predict(row: Any, spec: DeviceSpec) -> dict[str, Any]:
    """A step from the tree recorded where it was measured; a generation, whose tree shows one step, by name."""
    is_step = row["level"] == "decode_step"
    found = irene.predict(read_tree(row["tree"])) if is_step else predict_by_name(row)
    memory = found.memory_bytes or {}
    read_bytes = memory.get("weights", 0) + memory.get("kv_cache", 0)
    # The collector kept a second cache beside a step's own, so that its peak is not a step's.
    peak_bytes = None if is_step or pd.isna(row["peak_memory_bytes"]) else float(row["peak_memory_bytes"])
    low_j, high_j = found.interval_j
    per_token_j = spec.power_cap_w * read_bytes / spec.hbm_bytes_per_s
    return {
        "what": name_what(row), "predicted_j": found.energy_j, "low_j": low_j, "high_j": high_j,
        "predicted_s": found.duration_s, "peak_bytes": peak_bytes, "predicted_peak_bytes": memory.get("peak"),
        "weights_at_cap_j": None if is_step else row["new_tokens"] * per_token_j,
    }  # fmt: skip


def predict_by_name(row: Any) -> Prediction:
    asked = {name: int(row[name]) for name in ("batch_size", "seq_len", "new_tokens")}
    return irene.predict(row["model"], task=row["task"], dtype=row["dtype"], execution=row["execution"], **asked)


def name_what(row: Any) -> str:
    """The line of the table of errors that a case belongs to."""
    thing = "step" if row["level"] == "decode_step" else "generation"
    if row["execution"] == "cuda_graph":
        return f"{thing}, captured, static cache"
    return f"{thing}, eager, {'GPU' if row['gpu_utilization_pct'] >= _GPU_BOUND_PCT else 'host'} decides"


def tabulate_errors(cases: pd.DataFrame) -> pd.DataFrame:
    """A row a kind of case: errors as means over cases of a family, then over families; a baseline beside them."""
    rows = []
    for what, own in cases.groupby("what"):
        families = own["families"]

        def family_mean(predicted: str, measured: str, own: pd.DataFrame = own) -> float:
            error = (own[predicted].astype(float) / own[measured].astype(float) - 1).abs()
            return round(100 * error.groupby(own["families"]).mean().mean(), 1)

        inside = own["energy_j"].between(own["low_j"], own["high_j"])
        rows.append({
            "what": what, "cases": len(own), "families": families.nunique(),
            "energy %": family_mean("predicted_j", "energy_j"),
            "energy of first runs %": family_mean("predicted_j", "first_j"),
            "time %": family_mean("predicted_s", "duration_s"),
            "in interval %": round(100 * inside.mean()),
            "peak memory %": family_mean("predicted_peak_bytes", "peak_bytes"),
            "weights and cache over bandwidth x cap %": family_mean("weights_at_cap_j", "energy_j"),
        })  # fmt: skip
    return pd.DataFrame(rows)


def tabulate_cases(cases: pd.DataFrame) -> pd.DataFrame:
    """Every case with the signed errors of energy and time."""
    lengths = cases["seq_len"].astype(str) + " + " + cases["new_tokens"].astype(str)
    return pd.DataFrame({
        "model": cases["model"].str.rpartition("/")[2], "what": cases["what"], "batch": cases["batch_size"],
        "prompt + new, or context": lengths.where(cases["level"] == "generation", cases["context_len"].astype(str)),
        "runs": cases["runs"], "GPU busy %": cases["gpu_utilization_pct"].round(0).astype(int),
        "J": cases["energy_j"].map("{:.3g}".format),
        "energy %": (100 * (cases["predicted_j"] / cases["energy_j"] - 1)).round(1),
        "time %": (100 * (cases["predicted_s"] / cases["duration_s"] - 1)).round(1),
    })  # fmt: skip


if __name__ == "__main__":
    main()
