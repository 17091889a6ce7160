"""Which operators of a plan this torch and GPU run at all: each tried in a process of its own, before a collection.

    python -m irene.measuring.probe data/plans/lowbit.toml OUTPUT

A kernel that reads beyond its memory ends the CUDA context of its process, and a capture that fails can spoil its
allocator. So every pattern of call (an operator with its dtypes, ranks and flags) is tried by a child, at up to three
sizes. Cases of patterns that no size of runs, or that end the child, become skips of the collection in OUTPUT, with
the reason; `irene collect` with the same output passes over them. Nothing is measured.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeAlias

import torch

from irene.dataset.journal import RowJournal
from irene.measuring import targets
from irene.measuring.plan import Plan, PrimitiveCase, load_plan, load_primitive_cases, save_primitive_cases
from irene.measuring.replaying import capture_replay, launch_replay
from irene.measuring.starting import claim_output
from irene.primitives.patterns import split_call
from irene.primitives.traffic import count_traffic_bytes

Outcomes: TypeAlias = list[str | None]
"""What each case said: None where it ran, else why not. Shorter than the cases where the process ended before."""

_TRIES, _AT_ONCE, _LONGEST_S = 3, 8, 90.0
_ENDED = "ended the process that tried it"


def probe(plan: Plan, output: Path, try_in_child: Callable[[Sequence[PrimitiveCase]], Outcomes]) -> list[str]:
    """Try every pattern of a plan's primitives, note skips in `output`, and return a line for each pattern."""
    patterns: dict[object, list[PrimitiveCase]] = {}
    for case in plan.primitives:
        patterns.setdefault((split_call(case.call)[0], case.dtype), []).append(case)
    tried = [choose_tries(cases) for cases in patterns.values()]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        outcomes = list(pool.map(try_in_child, tried))
    lines = []
    with claim_output(output), RowJournal(output) as journal:
        for cases, tries, outcome in zip(patterns.values(), tried, outcomes, strict=True):
            reason = why_not(tries, outcome)
            operands = ", ".join(spec.dtype for spec in cases[0].call.tensors)
            lines.append(f"{cases[0].call.op} ({operands}), {len(cases)} cases: {reason or 'runs'}")
            for case in cases if reason else ():
                journal.append_skip(case.key, f"probe: {reason}")
    return lines


def choose_tries(cases: Sequence[PrimitiveCase]) -> list[PrimitiveCase]:
    """The smallest, the middle and the largest of cases, by the bytes that they move."""
    ranked = sorted(cases, key=lambda case: count_traffic_bytes(case.call))
    return list(dict.fromkeys([ranked[0], ranked[len(ranked) // 2], ranked[-1]]))[:_TRIES]


def why_not(tries: Sequence[PrimitiveCase], outcome: Outcomes) -> str | None:
    """Why a pattern is not measured: its process ended, or no size ran. None if it is."""
    if len(outcome) < len(tries):
        return f"{_ENDED}: {tries[len(outcome)].call.signature[:160]}"
    refusals = [reason for reason in outcome if reason is not None]
    return refusals[0] if len(refusals) == len(tries) else None


def try_in_child(cases: Sequence[PrimitiveCase]) -> Outcomes:
    """Try cases in another process, which says after each how it went."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cases.jsonl.gz"
        save_primitive_cases(list(cases), path)
        command = [sys.executable, "-m", "irene.measuring.probe", "--child", str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST_S, check=False).stdout
        except subprocess.TimeoutExpired as late:
            done = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
    return [json.loads(line) for line in done.splitlines() if line.startswith(('"', "null"))]


def try_cases(cases: Sequence[PrimitiveCase], device: torch.device) -> None:
    """Try each case and print how it went, at once; what breaks the device breaks this process."""
    for case in cases:
        reason: str | None = None
        try:
            targets.set_precision(case.dtype)
            is_captured = device.type == "cuda" and case.weights != "host"
            replay = (
                capture_replay(case.call, case.weights, device) if is_captured else launch_replay(case.call, device)
            )
            with torch.inference_mode():
                replay.run()
        except Exception as error:  # whatever torch refuses: the next size may do
            reason = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0][:300]}"
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        print(json.dumps(reason), flush=True)


def main() -> None:
    """Probe the plan that is named; with `--child`, try the cases of one file in this process."""
    if sys.argv[1] == "--child":
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try_cases(load_primitive_cases(Path(sys.argv[2])), device)
        return
    for line in probe(load_plan(sys.argv[1]), Path(sys.argv[2]), try_in_child):
        print(line)


if __name__ == "__main__":
    main()
