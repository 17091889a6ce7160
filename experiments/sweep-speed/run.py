"""How long 1,000 points of one model take, and whether each is what a prediction of that point says.

    python experiments/sweep-speed/run.py [--output FOLDER]

Writes `speed.csv` (one row a model) and prints it. Seconds are by the clock, libraries imported and the predictor
loaded before, models not: each is built from its config. `sweep_cpu_s` are those of the processor, so that other work
on the machine counts less; `one_by_one_s` is the mean of the points compared, times the number of points.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import time
import warnings
from pathlib import Path

import irene

HERE = Path(__file__).parent
MODELS = (
    "bert-base-uncased", "gpt2", "meta-llama/Llama-3.1-8B", "microsoft/Phi-3-mini-4k-instruct",
    "mistralai/Mixtral-8x7B-v0.1", "google-t5/t5-small",
)  # fmt: skip
BATCHES, LENGTHS, SAMPLE = 20, 50, 20
SEED = 0


def choose_grid(rng: random.Random) -> tuple[list[int], list[int]]:
    """Batch sizes and lengths drawn at random, few of them round, 1 among both."""
    return [1, *sorted(rng.sample(range(2, 65), BATCHES - 1))], [1, *sorted(rng.sample(range(2, 513), LENGTHS - 1))]


def measure(model: str, rng: random.Random) -> dict[str, object]:
    """One model: the sweep, and some of its points one by one."""
    batch_sizes, seq_lens = choose_grid(rng)
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    sweep = irene.sweep(model, batch_sizes=batch_sizes, seq_lens=seq_lens)
    sweep_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    sample = rng.sample(range(len(sweep)), SAMPLE)
    start_s = time.perf_counter()
    predictions = {}
    for index in sample:
        workload = sweep.workloads[index]
        predictions[index] = irene.predict(model, batch_size=workload.batch_size, seq_len=workload.seq_len)
    point_s = (time.perf_counter() - start_s) / SAMPLE
    return {
        "model": model,
        "points": len(sweep),
        "sweep_s": f"{sweep_s:.1f}",
        "sweep_cpu_s": f"{cpu_s:.1f}",
        "one_by_one_s": f"{point_s * len(sweep):.0f}",
        "traced": sweep.traced,
        "checked": sweep.checked,
        "compared": SAMPLE,
        "largest_difference": f"{max(differ(sweep, i, p) for i, p in predictions.items()):.1e}",
    }


def differ(sweep: irene.Sweep, index: int, prediction: irene.Prediction) -> float:
    """The largest relative difference of a number of one point; infinite where a word differs."""
    values = sweep.values
    if (values.bound[index], values.provenance[index]) != (prediction.bound, prediction.provenance):
        return float("inf")
    pairs = [
        (values.energy_j, prediction.energy_j),
        (values.low_j, prediction.interval_j[0]),
        (values.high_j, prediction.interval_j[1]),
        (values.duration_s, prediction.duration_s),
        *((getattr(values, f"{part}_j"), joules) for part, joules in prediction.breakdown_j.items()),
    ]
    return max(abs(column[index] - expected) / (expected or 1.0) for column, expected in pairs)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=HERE)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    irene.predict("bert-tiny")  # imports, and loads the predictor
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    rows = [measure(model, random.Random(f"{SEED} {model}")) for model in MODELS]
    arguments.output.mkdir(parents=True, exist_ok=True)
    with open(arguments.output / "speed.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    print(f"load average after: {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
