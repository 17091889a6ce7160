"""Draw inputs for some minutes, and count how they end: python -m tests.fuzz --minutes 5 [--seed 1] [--inputs N].

Prints each input that ended badly, with its number (`--seed S --only NUMBER` runs it again), and a table of kinds.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from tests.fuzz.children import Drawn, run_batch
from tests.fuzz.drawing import Drawer
from tests.fuzz.judging import BAD, VERDICTS, Outcome
from tests.fuzz.made import make

BATCH = 25  # cases of one child: a fork then costs a case some milliseconds


def run(seed: int, numbers: Iterator[int], minutes: float, limit_s: float = 400.0) -> Iterator[Outcome]:
    """The outcomes of the cases with these numbers, until the minutes are over; the making of them is not counted."""
    home = Path(tempfile.mkdtemp(prefix="irene-fuzz-")).resolve()
    try:
        drawer = Drawer(make(home / "made"), seed)
        end_s = time.monotonic() + 60 * minutes
        waiting: list[Drawn] = []
        while True:
            if time.monotonic() < end_s:
                waiting += [drawer.draw(number, home / str(number)) for number in islice(numbers, BATCH - len(waiting))]
            if not waiting or time.monotonic() > end_s:
                return
            outcomes = run_batch(waiting, limit_s)
            for outcome, drawn in zip(outcomes, waiting, strict=False):
                shutil.rmtree(drawn.folder, ignore_errors=True)
                if outcome.verdict in BAD:
                    (again,) = run_batch([drawer.draw(drawn.case.number, drawn.folder)], limit_s)
                    shutil.rmtree(drawn.folder, ignore_errors=True)
                    yield replace(outcome, error=f"{outcome.error}\n    alone: {again.verdict}")
                else:
                    yield outcome
            waiting = waiting[len(outcomes) :]
    finally:
        shutil.rmtree(home, ignore_errors=True)


def count(outcomes: list[Outcome]) -> str:
    """A Markdown table: inputs of each kind, how many have a known answer, and how they ended."""
    heads = ["kind", "inputs", "answer known", *VERDICTS]
    lines = [f"| {' | '.join(heads)} |", "| --- |" + " ---: |" * (len(heads) - 1)]
    kinds = list(dict.fromkeys(outcome.case.kind for outcome in outcomes))
    for kind in [*sorted(kinds), "all"]:
        chosen = [outcome for outcome in outcomes if kind in (outcome.case.kind, "all")]
        known = sum(outcome.case.right is not None for outcome in chosen)
        ended = Counter(outcome.verdict for outcome in chosen)
        numbers = [len(chosen), known, *(ended[verdict] for verdict in VERDICTS)]
        lines.append(f"| {kind} | {' | '.join(map(str, numbers))} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--inputs", type=int, default=10**9, help="at most so many")
    parser.add_argument("--only", type=int, help="the input of this number alone")
    given = parser.parse_args()
    numbers = iter([given.only]) if given.only is not None else iter(range(given.inputs))
    outcomes: list[Outcome] = []
    try:
        for outcome in run(given.seed, numbers, given.minutes):
            outcomes.append(outcome)
            if outcome.verdict in BAD or given.only is not None:
                case = outcome.case
                print(f"{outcome.verdict}: {case.kind} --only {case.number}: {case.arguments!r:.300}", file=sys.stderr)
                print(f"    exit {outcome.code}: {outcome.error[-900:]}", file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        print("Stopped; what had ended by then:")
    print(count(outcomes))
    return 1 if any(outcome.verdict in BAD for outcome in outcomes) else 0


if __name__ == "__main__":
    sys.exit(main())
