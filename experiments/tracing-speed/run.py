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
from typing import Any

import torch

from irene.errors import BadInput
from irene.model_tree.workload import Workload
from irene.tracing import trace
from irene.tracing.building import build_model
from irene.tracing.bundled_models import BundledModel, find_bundled, list_bundled
from irene.tracing.inputs import build_inputs
from irene.tracing.recording import record_call

HERE = Path(__file__).parent
LARGEST = "meta-llama/Llama-3.1-405B"
# The first that a model takes: fewer tokens where it has not so many positions, float32 where it has no kernel in
# bfloat16 (FNet), and 1,024 tokens where it takes neither more nor fewer (Nystromformer).
WORKLOADS: tuple[dict[str, Any], ...] = (
    {"seq_len": 512}, {"seq_len": 64}, {"seq_len": 512, "dtype": "float32"}, {"seq_len": 1024, "dtype": "float32"},
)  # fmt: skip


def trace_all() -> list[dict[str, object]]:
    """One row a model: CPU seconds from its config to its tree, at the first of WORKLOADS that it takes."""
    return [{"model": model.name, **time_trace(model)} for model in list_bundled()]


def time_trace(model: BundledModel) -> dict[str, object]:
    """Leaves and CPU seconds of one model. Raises BadInput if it takes none of WORKLOADS."""
    config = model.build_config()
    for workload in WORKLOADS:
        start_s = time.process_time()
        try:
            tree = trace(config, batch_size=1, **workload)
        except BadInput as error:
            refused = error
        else:
            trace_s = time.process_time() - start_s
            return {"leaves": sum(1 for _ in tree.root.leaves), "trace_s": f"{trace_s:.3f}"}
    raise refused


def trace_largest(repeats: int = 5) -> float:
    """CPU seconds of the largest model's trace once it is built: the least of some repeats."""
    found = find_bundled(LARGEST)
    assert found is not None
    model = build_model(found.build_config(), "base", torch.bfloat16, "meta")
    inputs = build_inputs(
        model.config, model.main_input_name, Workload(batch_size=1, seq_len=512), torch.device("meta")
    )
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
