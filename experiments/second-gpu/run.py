"""When does another GPU cost joules, and when does it save them? Joules, time and memory on 1, 2, 4 and 8 H200.

    python experiments/second-gpu/run.py [DATA]

Writes table.csv, the table in README.md and joules.svg. Predictions are today's. Where DATA (by default `data`) holds
rows of such a case, by the plans `tensor-parallel` and `tensor-parallel-alone`, the measured columns are filled.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from pathlib import Path
from typing import Any

import irene
from irene.reporting.marked_text import write_between_marks
from irene.units import format_quantity

HERE = Path(__file__).parent
MODELS = ("meta-llama/Llama-3.1-8B", "meta-llama/Llama-3.1-70B", "mistralai/Mixtral-8x7B-v0.1")
GPUS = (1, 2, 4, 8)
WORKLOADS: dict[str, dict[str, Any]] = {
    "prefill 1 x 2048": {"batch_size": 1, "seq_len": 2048},
    "prefill 4 x 1024": {"batch_size": 4, "seq_len": 1024},
    "step 16 x 1024": {"batch_size": 16, "seq_len": 1, "context_len": 1024, "cache": "static"},
}
COLUMNS = (
    "model", "workload", "gpus", "energy_j", "low_j", "high_j", "duration_s", "communication_j", "memory_gb", "fits",
    "measured_energy_j", "measured_duration_s",
)  # fmt: skip


def predict(model: str, name: str, gpus: int) -> dict[str, Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what does not fit is in the table
        p = irene.predict(model, task="causal-lm", execution="cuda_graph", gpus=gpus, **WORKLOADS[name])
    assert p.memory_bytes is not None
    return {
        "model": model, "workload": name, "gpus": gpus, "energy_j": p.energy_j, "low_j": p.interval_j[0],
        "high_j": p.interval_j[1], "duration_s": p.duration_s,
        "communication_j": p.breakdown_j.get("communication", 0.0),
        "memory_gb": p.memory_bytes["peak"] / 1e9, "fits": p.fits,
    }  # fmt: skip


def read_measured(folder: Path) -> dict[tuple[str, str, int], tuple[float, float]]:
    """Medians of measured captured forward passes by (model, workload, GPUs); empty where nobody measured."""
    from irene.dataset.store import load_rows

    found: dict[tuple[str, str, int], tuple[float, float]] = {}
    for path in sorted(folder.rglob("rows.parquet")):
        if "tensor-parallel" not in path.parent.name:
            continue
        rows = load_rows(path.parent)
        rows = rows[(rows["level"] == "model") & (rows["execution"] == "cuda_graph") & (rows["task"] == "causal-lm")]
        for key, runs in rows.groupby(["model", "batch_size", "seq_len", "ranks"]):
            model, batch_size, seq_len, ranks = key
            name = f"prefill {batch_size} x {seq_len}"
            found[model, name, int(ranks)] = float(runs["energy_j"].median()), float(runs["duration_s"].median())
    return found


def tabulate(rows: list[dict[str, Any]]) -> str:
    head = ("model", "workload", "GPUs", "joules", "90 % interval", "time", "communication", "memory a GPU", "measured")
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    for row in rows:
        memory = f"{row['memory_gb']:.0f} GB" + ("" if row["fits"] else ", does not fit")
        measured = row.get("measured_energy_j")
        cells = [
            row["model"].split("/")[1], row["workload"], str(row["gpus"]), format_quantity(row["energy_j"], "J"),
            f"{format_quantity(row['low_j'], 'J')} to {format_quantity(row['high_j'], 'J')}",
            format_quantity(row["duration_s"], "s"), f"{row['communication_j'] / row['energy_j']:.1%}", memory,
            "" if measured is None else format_quantity(measured, "J"),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "irene"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(WORKLOADS), figsize=(12, 3.6), sharey=True)
    for axis, name in zip(axes, WORKLOADS, strict=True):
        for model in MODELS:
            own = [row for row in rows if row["model"] == model and row["workload"] == name]
            one_j = own[0]["energy_j"]
            (line,) = axis.plot(
                [r["gpus"] for r in own], [r["energy_j"] / one_j for r in own], "o-", label=model.split("/")[1]
            )
            seen = [(r["gpus"], r["measured_energy_j"] / one_j) for r in own if r.get("measured_energy_j")]
            if seen:
                axis.plot(*zip(*seen, strict=True), "x", color=line.get_color())
        axis.set(title=name, xlabel="GPUs", xscale="log", xticks=GPUS, xticklabels=[str(n) for n in GPUS])
        axis.minorticks_off()
        axis.axhline(1.0, color="0.7", linewidth=0.8, zorder=0)
    axes[0].set(ylabel="joules, over those on one GPU")
    axes[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data", nargs="?", type=Path, default=Path("data"))
    folder = parser.parse_args().data
    measured = read_measured(folder)
    rows = [predict(model, name, gpus) for model in MODELS for name in WORKLOADS for gpus in GPUS]
    for row in rows:
        key = row["model"], row["workload"], row["gpus"]
        row["measured_energy_j"], row["measured_duration_s"] = measured.get(key, (None, None))
    with (HERE / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})
    draw(rows, HERE / "joules.svg")
    write_between_marks(HERE / "README.md", tabulate(rows))
    print(tabulate(rows))


if __name__ == "__main__":
    main()
