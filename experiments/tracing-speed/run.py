"""How long tracing takes: every bundled model, and the largest of them after its construction.

    python experiments/tracing-speed/run.py [--output FOLDER]

Writes `speed.csv` (one row a model) and prints the sum. Times are of one core (CPU time), so that other work on the
machine counts little.
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings
from pathlib import Path

import torch

from irene.errors import BadInput
from irene.model_tree.tree import Workload
from irene.tracing import trace
from irene.tracing.building import build_model
from irene.tracing.bundled_models import find_bundled, list_bundled
from irene.tracing.inputs import build_inputs
from irene.tracing.recording import record_call

HERE = Path(__file__).parent
LARGEST = "meta-llama/Llama-3.1-405B"


def trace_all(seq_len: int = 512) -> list[dict[str, object]]:
    """One row a model: CPU seconds from its config to its tree; at its own limit where that is shorter."""
    rows: list[dict[str, object]] = []
    for model in list_bundled():
        config = model.build_config()
        start_s = time.process_time()
        try:
            tree = trace(config, batch_size=1, seq_len=seq_len)
        except BadInput:  # beyond its learned positions
            tree = trace(config, batch_size=1, seq_len=64)
        trace_s = time.process_time() - start_s
        rows.append({"model": model.name, "leaves": sum(1 for _ in tree.root.leaves), "trace_s": f"{trace_s:.3f}"})
    return rows


def trace_largest(repeats: int = 5) -> float:
    """CPU seconds of the largest model's trace once it is built: the least of some repeats."""
    found = find_bundled(LARGEST)
    assert found is not None
    model = build_model(found.build_config(), "base", torch.bfloat16, "meta")
    inputs = build_inputs(model.config, model.main_input_name, Workload(1, 512), torch.device("meta"))
    times_s = []
    for _ in range(repeats):
        start_s = time.process_time()
        record_call(model, (), inputs)
        times_s.append(time.process_time() - start_s)
    return min(times_s)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=HERE)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    start_s = time.perf_counter()
    rows = trace_all()
    wall_s, cpu_s = time.perf_counter() - start_s, sum(float(str(row["trace_s"])) for row in rows)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with open(arguments.output / "speed.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    leaves = sum(int(str(row["leaves"])) for row in rows)
    print(f"{len(rows)} models, {leaves} leaves: {cpu_s:.1f} s of one core ({wall_s:.1f} s by the clock)")
    print(f"{LARGEST} after construction: {trace_largest():.2f} s")


if __name__ == "__main__":
    main()
