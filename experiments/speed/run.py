"""How fast irene answers, each claim beside what it is compared with in the same run: writes results.csv and prints it.

    python experiments/speed/run.py [--repeats 5] [--only shell|process|generate|sweep]

Seconds are medians by the clock; `cpu_s` are those of the processor, so that other work on the machine counts less.
"""

from __future__ import annotations

import argparse
import csv
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
LARGE = "meta-llama/Llama-3.1-405B"
SMALL = "meta-llama/Llama-3.1-8B"
SWEPT = {"bert-base-uncased": 2500.0, SMALL: 1000.0}  # points a second that are asked for
QUIET_IMPORT_S = 1.04  # of `import torch` on the quiet cores for which they are asked: what a busy core is compared by
BATCHES, LENGTHS = range(1, 80), range(8, 520, 8)  # 5,056 points
Row = dict[str, object]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=("shell", "process", "generate", "sweep"))
    options = parser.parse_args()
    print(f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    parts = {
        "shell": lambda: time_shell(options.repeats),
        "process": lambda: time_process(options.repeats),
        "generate": lambda: time_generations(options.repeats),
        "sweep": lambda: [time_sweep(model, asked, options.repeats) for model, asked in SWEPT.items()],
    }
    rows: list[Row] = []
    for name, measure in parts.items():
        if options.only in (None, name):
            rows += (found := measure())
            for row in found:
                print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
    new = {row["what"] for row in rows}
    with open(HERE / "results.csv", encoding="utf-8", newline="") as file:  # of what was not asked for, the last answer
        rows = [row for row in csv.DictReader(file) if row["what"] not in new] + rows
    with open(HERE / "results.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def time_shell(repeats: int) -> list[Row]:
    """Commands from the shell over `import torch`, all of them in turn, so that a slow minute meets each."""
    with tempfile.TemporaryDirectory() as folder:
        ask = [sys.executable, "-m", "irene", "predict", "bert-base-uncased"]
        commands = {
            "import torch": [sys.executable, "-c", "import torch"],
            "a new question": [*ask, "--no-tree-cache"],
            "a question asked before": ask,
            "an unknown name": [*ask[:-1], "no-such-model"],
        }
        environment = {**os.environ, "IRENE_CACHE_DIR": folder, "HF_HUB_OFFLINE": "1"}
        _run(ask, environment)
        found = {name: [] for name in commands}
        for _ in range(repeats):
            for name, command in commands.items():
                found[name].append(_run(command, environment))
    medians = {
        name: [statistics.median(column) for column in zip(*pairs, strict=True)] for name, pairs in found.items()
    }
    base_s, base_cpu_s = medians["import torch"]
    most = {"a new question": 3.9, "a question asked before": 0.8}
    return [
        _row(
            name,
            seconds,
            cpu_s,
            f"{seconds / base_s:.2f} of import torch (cpu {cpu_s / base_cpu_s:.2f})",
            most.get(name),
        )
        for name, (seconds, cpu_s) in medians.items()
    ]


def time_process(repeats: int) -> list[Row]:
    """Llama-405B in process, alone and beside a process that never rests."""
    import warnings

    import irene

    warnings.simplefilter("ignore")
    irene.predict(LARGE)
    rows = []
    for name, busy in ((f"{LARGE} in process", 0), (f"{LARGE} in process, beside a busy one", 1)):
        others = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
        try:
            pairs = [_time(lambda: irene.predict(LARGE)) for _ in range(repeats)]
        finally:
            for other in others:
                other.kill()
                other.wait(timeout=60)
        seconds, cpu_s = (statistics.median(column) for column in zip(*pairs, strict=True))
        rows.append(_row(name, seconds, cpu_s, "at most 0.25 s", 0.25 if busy else None))
    return rows


def time_generations(repeats: int) -> list[Row]:
    """One generation of Llama-405B, and 200 of Llama-8B, in process: few batch sizes, and many, which take longest."""
    import warnings

    import irene

    warnings.simplefilter("ignore")
    irene.predict("gpt2", seq_len=16, new_tokens=4)  # libraries and regressors are loaded
    imports = [_run([sys.executable, "-c", "import torch"], dict(os.environ))[1] for _ in range(repeats)]
    import_s = statistics.median(imports)
    tokens = [32, 64, 128, 256, 512]
    few = {"batch_sizes": [1, 2, 4, 8, 16], "seq_lens": [128, 256, 512, 1024, 2048, 3072, 4096, 8192]}
    many = {"batch_sizes": range(1, 21), "seq_lens": [512, 2048]}
    works: dict[str, tuple[float, Callable[[], object]]] = {
        f"{LARGE}, 16 x 8192 + 1024 tokens": (
            2.5, lambda: irene.predict(LARGE, batch_size=16, seq_len=8192, new_tokens=1024)
        ),
        f"200 generations of {SMALL}, 5 batch sizes": (20.0, lambda: irene.sweep(SMALL, new_tokens=tokens, **few)),
        f"200 generations of {SMALL}, 20 batch sizes": (20.0, lambda: irene.sweep(SMALL, new_tokens=tokens, **many)),
    }  # fmt: skip
    rows = []
    for name, (most, work) in works.items():
        seconds, cpu_s = (
            statistics.median(column) for column in zip(*[_time(work) for _ in range(repeats)], strict=True)
        )
        quiet_s = cpu_s / import_s * QUIET_IMPORT_S
        words = f"{cpu_s / import_s:.1f} of import torch by the processor: {quiet_s:.2f} s of a quiet one"
        rows.append(_row(name, seconds, cpu_s, words, most))
    return rows


def time_sweep(model: str, asked: float, repeats: int) -> Row:
    """Points a second by the clock, what one takes of the processor, and the memory that 5,056 points take.

    On a busy machine seconds of the processor grow, too: so do those of `import torch`, by which they are scaled to a
    quiet one. That rate is one core's; Gaussian processes and trees, about half of the work, run on all.
    """
    import warnings

    import irene

    warnings.simplefilter("ignore")
    irene.sweep("bert-tiny", batch_sizes=range(1, 40), seq_lens=range(8, 40))  # libraries and regressors are loaded
    imports = [_run([sys.executable, "-c", "import torch"], dict(os.environ))[1] for _ in range(repeats)]
    before = _peak_mib()
    seconds, cpu_s = _time(lambda: irene.sweep(model, batch_sizes=BATCHES, seq_lens=LENGTHS))
    points = len(BATCHES) * len(LENGTHS)
    of_import = cpu_s / statistics.median(imports)
    quiet = points / (of_import * QUIET_IMPORT_S)
    each_ms = 1e3 * cpu_s / points
    rate = (
        f"{points / seconds:.0f} points/s (asked for: {asked:.0f}); {each_ms:.2f} ms of the processor a point, "
        f"{of_import:.1f} of import torch for all: {quiet:.0f} points/s of one quiet core; "
        f"+{_peak_mib() - before:.0f} MiB (400)"
    )
    return _row(f"sweep {model}, {points} points", seconds, cpu_s, rate, None)


def _time(work: Callable[[], object]) -> tuple[float, float]:
    start_s, start_cpu_s = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start_s, time.process_time() - start_cpu_s


def _run(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    start_s, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, capture_output=True, timeout=600, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start_s, cpu_s


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _row(what: str, seconds: float, cpu_s: float, beside: str, most: float | None) -> Row:
    return {
        "what": what, "seconds": f"{seconds:.2f}", "cpu_s": f"{cpu_s:.2f}", "beside": beside,
        "asked_for": "" if most is None else f"at most {most}",
    }  # fmt: skip


if __name__ == "__main__":
    main()
