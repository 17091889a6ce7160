"""What does the allocator's peak hold beside weights, cache and activations? Traced, beside what was measured.

    python experiments/peak-memory/run.py

Writes peaks.csv and the table in README.md; run it with the transformers that the rows were measured with. A decode
step was measured with a second copy of its cache: those rows are left out.
"""

from __future__ import annotations

import csv
import warnings
from pathlib import Path
from typing import Any

import pandas as pd
import transformers

import irene
from irene.dataset.store import load_rows
from irene.predictor.training_data import read_tree
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).parent
DATA = "data/h200"
BEFORE_BYTES = 32 * 2**20
COLUMNS = (
    "family", "model", "level", "batch_size", "seq_len", "traced_mb", "measured_mb", "held_before_mb", "allowed_mb",
    "error_pct", "error_with_32_mib_pct",
)  # fmt: skip


def trace(row: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"batch_size": int(row.batch_size), "seq_len": int(row.seq_len), "task": row.task}
    if not pd.isna(row.decoder_seq_len):
        asked["decoder_seq_len"] = int(row.decoder_seq_len)
    if row.level == "generation":
        asked |= {"new_tokens": int(row.new_tokens), "task": "base"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        memory = irene.predict(row.model, **asked).tree.memory
    assert memory is not None
    traced = memory.weights + memory.kv_cache + memory.activations
    return {
        "family": row.families, "model": row.model, "level": row.level, "batch_size": asked["batch_size"],
        "seq_len": asked["seq_len"], "traced_mb": traced / 1e6, "measured_mb": row.peak_memory_bytes / 1e6,
        "held_before_mb": (row.memory_before_bytes - memory.weights) / 1e6,
    }  # fmt: skip


def main() -> None:
    rows = load_rows(DATA)
    rows = rows[rows["peak_memory_bytes"].notna() & rows["level"].isin(["generation", "model"])]
    measured_with = {dict(read_tree(tree).versions)["transformers"] for tree in rows["tree"]}
    if transformers.__version__ not in measured_with:
        print(f"Measured with transformers {', '.join(measured_with)}, traced with {transformers.__version__}.")
    found = pd.DataFrame([trace(row) for row in rows.itertuples()])
    least = found.groupby("family")["held_before_mb"].median()
    # For each family the allowance that the others give: the least that any of them held.
    found["allowed_mb"] = [float(least.drop(family).min()) for family in found["family"]]
    for name, allowed in (("error_pct", found["allowed_mb"]), ("error_with_32_mib_pct", BEFORE_BYTES / 1e6)):
        found[name] = 100.0 * ((found["traced_mb"] + allowed) / found["measured_mb"] - 1.0)
    with (HERE / "peaks.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for row in found[list(COLUMNS)].itertuples(index=False):
            writer.writerow([f"{value:.5g}" if isinstance(value, float) else value for value in row])
    lines = [
        "| family | rows | held before, MB | error with 32 MiB | error with the others' least |",
        "|" + " --- |" * 5,
    ]
    for family, own in found.groupby("family"):
        errors = [f"{own[name].abs().mean():.1f} %" for name in ("error_with_32_mib_pct", "error_pct")]
        lines.append(f"| {family} | {len(own)} | {least[family]:.0f} | {' | '.join(errors)} |")
    means = [
        found.groupby("family")[n].apply(lambda e: e.abs().mean()).mean()
        for n in ("error_with_32_mib_pct", "error_pct")
    ]
    lines.append(f"| mean of families | {len(found)} | least {least.min():.1f} | {means[0]:.1f} % | {means[1]:.1f} % |")
    write_between_marks(HERE / "README.md", "\n".join(lines))
    print("\n".join(lines))


if __name__ == "__main__":
    main()
