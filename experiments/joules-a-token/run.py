"""How do joules of a new token go with batch and prompt? A dense model and a mixture, beside what was measured.

    python experiments/joules-a-token/run.py

Writes tokens.csv, the table in README.md and tokens.svg. Measured are the whole generations of 32 tokens in data/h200.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import irene
from irene.dataset.store import load_rows
from irene.reporting.marked_text import write_between_marks
from irene.units import format_quantity

HERE = Path(__file__).parent
DATA = "data/h200"
MODELS = ("Qwen/Qwen3-1.7B", "Qwen/Qwen1.5-MoE-A2.7B")
BATCHES, PROMPTS, TOKENS = (1, 2, 4, 8, 16, 32, 64), (128, 512, 2048), 32
COLUMNS = (
    "model", "batch_size", "seq_len", "predicted_j", "low_j", "high_j", "measured_j", "predicted_s", "measured_s",
)  # fmt: skip


def predict(model: str) -> list[dict[str, Any]]:
    swept = irene.sweep(model, batch_sizes=BATCHES, seq_lens=PROMPTS, new_tokens=[TOKENS])
    return [
        {
            "model": model, "batch_size": point["batch_size"], "seq_len": point["seq_len"],
            "predicted_j": point["energy_per_output_token_j"], "low_j": point["energy_per_output_token_low_j"],
            "high_j": point["energy_per_output_token_high_j"], "predicted_s": point["time_per_output_token_s"],
        }
        for point in swept.rows()
    ]  # fmt: skip


def add_measured(rows: list[dict[str, Any]]) -> None:
    """Medians of whole generations; a token's seconds are those of the call over its tokens, the prefill's included."""
    seen = load_rows(DATA)
    seen = seen[(seen["level"] == "generation") & (seen["new_tokens"] == TOKENS) & (seen["execution"] == "eager")]
    for row in rows:
        of_model = seen[seen["model"] == row["model"]]
        own = of_model[(of_model["batch_size"] == row["batch_size"]) & (of_model["seq_len"] == row["seq_len"])]
        row["measured_j"] = float(own["energy_j"].median()) / (row["batch_size"] * TOKENS) if len(own) else None
        row["measured_s"] = float(own["duration_s"].median()) / TOKENS if len(own) else None


def tabulate(rows: list[dict[str, Any]]) -> str:
    lines = ["| model | prompt | batch | J a token | 90 % interval | measured |", "|" + " --- |" * 6]
    for row in (row for row in rows if row["batch_size"] in (1, 8, 64)):
        measured = "" if row["measured_j"] is None else format_quantity(row["measured_j"], "J")
        ends = f"{format_quantity(row['low_j'], 'J')} to {format_quantity(row['high_j'], 'J')}"
        cells = [row["model"].split("/")[1], str(row["seq_len"]), str(row["batch_size"])]
        lines.append(f"| {' | '.join([*cells, format_quantity(row['predicted_j'], 'J'), ends, measured])} |")
    return "\n".join(lines)


def draw(rows: list[dict[str, Any]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "irene"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(MODELS), figsize=(9, 3.6), sharey=True)
    for axis, model in zip(axes, MODELS, strict=True):
        for seq_len in PROMPTS:
            own = [row for row in rows if row["model"] == model and row["seq_len"] == seq_len]
            batches = [row["batch_size"] for row in own]
            (line,) = axis.plot(batches, [row["predicted_j"] for row in own], "-", label=f"prompt {seq_len}")
            axis.fill_between(
                batches, [row["low_j"] for row in own], [row["high_j"] for row in own], color=line.get_color(),
                alpha=0.15, linewidth=0,
            )  # fmt: skip
            seen = [(row["batch_size"], row["measured_j"]) for row in own if row["measured_j"]]
            if seen:
                axis.plot(*zip(*seen, strict=True), "o", color=line.get_color())
        axis.set(title=model.split("/")[1], xlabel="batch", xscale="log", yscale="log")
        axis.set_xticks(BATCHES, [str(batch) for batch in BATCHES])
        axis.minorticks_off()
    axes[0].set(ylabel="joules a new token (points: measured)")
    axes[0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


def main() -> None:
    rows = [row for model in MODELS for row in predict(model)]
    add_measured(rows)
    with (HERE / "tokens.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: f"{v:.5g}" if isinstance(v, float) else v for k, v in row.items()})
    draw(rows, HERE / "tokens.svg")
    write_between_marks(HERE / "README.md", tabulate(rows))
    print(tabulate(rows))


if __name__ == "__main__":
    main()
