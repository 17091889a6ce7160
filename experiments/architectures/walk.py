"""Every architecture of the installed transformers from its default config: traced, refused, or impossible by itself.

    python experiments/architectures/walk.py [--output FOLDER] [--only MODEL_TYPE] [--part 1/4] [--processes 2]

Writes `architectures.csv` (with --part `architectures-1-of-4.csv`), one row an architecture and task, and prints the
summaries of the README, and how many were tried.
"""

from __future__ import annotations

import argparse
import csv
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from irene.predictor.node_values import PROVENANCES

HERE = Path(__file__).parent
CPU_LIMIT_S, TIMEOUT_S = 200, 900  # of one core, asked for politely; of a clock, then the process is killed
COLUMNS = (
    "model_type", "task", "dtype", "outcome", "reason", "proof", "notes", "leaves", "parameters", "flop",
    "traffic_bytes", "known_flop_share", "known_bytes_share", "unknown_ops", "trace_s",
    *(f"{name}_{what}_share" for name in PROVENANCES for what in ("flop", "bytes")),
    "generation", "generation_reason", "generation_proof", "generation_s", "joules_per_output_token",
)  # fmt: skip


def list_architectures() -> list[tuple[str, str]]:
    """(model type, task): base models of text, image and audio, and every language-model head."""
    from transformers.models.auto import modeling_auto as auto

    heads = {
        "causal-lm": auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        "masked-lm": auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES,
        "seq2seq-lm": auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
    }
    encoders = (
        auto.MODEL_FOR_TEXT_ENCODING_MAPPING_NAMES, auto.MODEL_FOR_IMAGE_MAPPING_NAMES,
        auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES, auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES,
        auto.MODEL_FOR_CTC_MAPPING_NAMES, auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
    )  # fmt: skip
    bases = {name for mapping in (*heads.values(), *encoders) for name in mapping if name in auto.MODEL_MAPPING_NAMES}
    pairs = [(name, "base") for name in bases]
    pairs += [(name, task) for task, mapping in heads.items() for name in mapping]
    return sorted(pairs)


def serve(connection: Connection) -> None:
    """A worker: rows for the pairs that come in, until None does."""
    for stream in (1, 2):  # what models print while they are built
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    import torch
    from attempt import attempt
    from generating import TASKS, add_generation

    torch.set_num_threads(1)
    signal.signal(signal.SIGPROF, _stop)
    while (pair := connection.recv()) is not None:
        signal.setitimer(signal.ITIMER_PROF, CPU_LIMIT_S)
        try:
            row = attempt(*pair)
            if pair[1] in TASKS:
                row = add_generation(row)
        except _TooLong:
            row = _failed(pair, "timeout", f"no answer in {CPU_LIMIT_S} s of one core")
        connection.send(row)


class _TooLong(BaseException):  # no Exception: nothing that handles a model's errors may catch it
    pass


def _stop(*_: object) -> None:
    raise _TooLong


def walk(pairs: list[tuple[str, str]], processes: int) -> list[dict[str, Any]]:
    """Rows in the order of the pairs; a worker that dies or takes too long is replaced."""
    context = multiprocessing.get_context("spawn")
    waiting = list(reversed(pairs))
    rows: list[dict[str, Any]] = []
    busy: dict[Connection, tuple[Any, tuple[str, str], float]] = {}

    def start() -> None:
        ours, theirs = context.Pipe()
        worker = context.Process(target=serve, args=(theirs,), daemon=True)
        worker.start()
        theirs.close()
        give(ours, worker)

    def give(connection: Connection, worker: Any) -> None:
        if not waiting:
            worker.kill()
            return
        pair = waiting.pop()
        connection.send(pair)
        busy[connection] = (worker, pair, time.monotonic())

    for _ in range(min(processes, len(pairs))):
        start()
    while busy:
        for connection in wait(list(busy), timeout=1.0):
            worker, pair, _ = busy.pop(connection)  # type: ignore[arg-type]
            try:
                rows.append(connection.recv())  # type: ignore[union-attr]
            except EOFError:
                rows.append(_failed(pair, "died", "the process died (memory?)"))
                if waiting:
                    start()
            else:
                give(connection, worker)  # type: ignore[arg-type]
            if len(rows) % 50 == 0:
                print(f"{len(rows)} of {len(pairs)}", file=sys.stderr, flush=True)
        for connection, (worker, pair, since_s) in list(busy.items()):
            if time.monotonic() - since_s > TIMEOUT_S:
                worker.kill()
                busy.pop(connection)
                rows.append(_failed(pair, "timeout", f"no answer in {TIMEOUT_S} s"))
                if waiting:
                    start()
    return sorted(rows, key=lambda row: pairs.index((row["model_type"], row["task"])))


def _failed(pair: tuple[str, str], outcome: str, reason: str) -> dict[str, Any]:
    return {"model_type": pair[0], "task": pair[1], "outcome": outcome, "reason": reason}


def summarise(rows: list[dict[str, Any]]) -> str:
    """A Markdown table: outcomes by task, and the share traced of what transformers can run."""
    lines = ["| task | architectures | cannot be built | cannot be run | possible | traced | refused | share traced |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    for task in (*dict.fromkeys(row["task"] for row in rows), "all"):
        of_task = Counter(row["outcome"] for row in rows if task in ("all", row["task"]))
        total, unrun = sum(of_task.values()), of_task["cannot run"]
        unbuilt = of_task["no default"] + of_task["cannot build"]
        possible, traced = total - unbuilt - unrun, of_task["traced"]
        share = f"{100 * traced / possible:.1f} %" if possible else "-"
        counts = (total, unbuilt, unrun, possible, traced, possible - traced, share)
        lines.append(f"| {task} | {' | '.join(str(count) for count in counts)} |")
    return "\n".join(lines)


def summarise_generations(rows: list[dict[str, Any]]) -> str:
    """A Markdown table: the architectures with a language-model head, and how many of them predict a generation."""
    lines = ["| task | architectures | cannot be built | no decoder | cannot generate | possible | predicted | share |"]
    lines.append("|---|---|---|---|---|---|---|---|")
    heads = [row for row in rows if row["task"] in ("causal-lm", "seq2seq-lm")]
    for task in (*dict.fromkeys(row["task"] for row in heads), "all"):
        found = Counter(row.get("generation", "") for row in heads if task in ("all", row["task"]))
        total, predicted = sum(found.values()), found["predicted"]
        possible = total - found[""] - found["no decoder"] - found["cannot run"]
        share = f"{100 * predicted / possible:.1f} %" if possible else "-"
        counts = (total, found[""], found["no decoder"], found["cannot run"], possible, predicted, share)
        lines.append(f"| {task} | {' | '.join(str(count) for count in counts)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--only", action="append", help="one model type; may be given several times")
    parser.add_argument("--part", default="1/1", help="K/N: each N-th architecture and task, from the K-th on")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    start_s = time.monotonic()
    listed = list_architectures()
    part, parts = map(int, arguments.part.split("/"))
    pairs = [pair for pair in listed[part - 1 :: parts] if not arguments.only or pair[0] in arguments.only]
    rows = walk(pairs, arguments.processes)
    arguments.output.mkdir(parents=True, exist_ok=True)
    name = "architectures.csv" if parts == 1 else f"architectures-{part}-of-{parts}.csv"
    with open(arguments.output / name, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _shown(value) for key, value in row.items()} for row in rows)
    print(f"\n{summarise(rows)}\n\n{summarise_generations(rows)}\n")
    print(f"tried {len(pairs)} of {len(listed)}: {time.monotonic() - start_s:.0f} s, {arguments.processes} processes")


def _shown(value: Any) -> Any:
    return f"{value:.4g}" if isinstance(value, float) else value


if __name__ == "__main__":
    main()
