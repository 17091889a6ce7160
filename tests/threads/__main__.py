"""Run each way of asking at once: python -m tests.threads [--predictions 1000] [--way NAME].

Prints a table: predictions of each way, how many were not the serial ones, and what was changed meanwhile.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.threads.answering import NAMES, Answer, Runner, answer, save_tree, state_of_own, surface, training, ways


@dataclass(frozen=True, slots=True)
class Outcome:
    """`other` predictions were not the serial ones; `changed` says what of torch or of the module was."""

    way: str
    predictions: int
    other: int
    changed: tuple[str, ...]
    wall_s: float


def check(way: str, run: Runner, predictions: int, serial: dict[str, Answer]) -> Outcome:
    """Ask that many times, the models in turn, while another thread trains."""
    names = [NAMES[at % len(NAMES)] for at in range(predictions)]
    before, own, started_s = surface(), state_of_own(), time.monotonic()
    with training() as wrong:
        answers = run(names)
    changed = sorted({name for name, _ in set(surface()) ^ set(before)})
    changed += ["the user's module"] if state_of_own() != own else []
    other = sum(found != serial[name] for name, found in zip(names, answers, strict=True))
    return Outcome(way, len(answers), other, (*changed, *sorted(set(wrong))), time.monotonic() - started_s)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.threads", description=__doc__)
    parser.add_argument("--predictions", type=int, default=1000, help="of each way")
    parser.add_argument("--way", choices=tuple(ways()), help="this way alone")
    given = parser.parse_args()
    chosen = {name: run for name, run in ways().items() if given.way in (None, name)}
    is_bad = False
    with tempfile.TemporaryDirectory(prefix="irene-threads-") as folder:
        save_tree(Path(folder))
        serial = {name: answer(name) for name in NAMES}
        print(
            "| way | predictions | not the serial one | changed | s |\n| --- | ---: | ---: | --- | ---: |", flush=True
        )
        for way, run in chosen.items():
            found = check(way, run, given.predictions, serial)
            is_bad |= bool(found.other or found.changed)
            changed = ", ".join(found.changed) or "nothing"
            print(f"| {way} | {found.predictions} | {found.other} | {changed} | {found.wall_s:.0f} |", flush=True)
    return 1 if is_bad else 0


if __name__ == "__main__":
    sys.exit(main())
