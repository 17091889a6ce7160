"""How much processor time work takes, in turns of a loop that runs beside it: a slow or busy machine slows both."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

_TURNS = 1_000_000  # 0.035 s on the machine that the bars were set on


def fewest_turns(
    work: Callable[[], object],
    *,
    enough: float = 0.0,
    attempts: int = 5,
    clock: Callable[[], float] = time.process_time,
) -> float:
    """The fewest turns of several attempts; after one of less than `enough` no more are made.

    What only a first call pays (imports, files that are read) is for the caller to pay before. `clock` counts the
    seconds of the work: of this process unless told.
    """
    fewest = float("inf")
    for _ in range(attempts):
        before_s, start_s = loop_s(), clock()
        work()
        work_s = clock() - start_s
        fewest = min(fewest, turns_of(work_s, before_s, loop_s()))
        if fewest < enough:
            break
    return fewest


def turns_of(work_s: float, *loops_s: float) -> float:
    """How many turns of the loop take as long as work, by what `loop_s` said around it."""
    return _TURNS * work_s * len(loops_s) / sum(loops_s)


def loop_s() -> float:
    """Seconds of processor that the loop takes now."""
    start_s, x = time.process_time(), 0
    for i in range(_TURNS):
        x += i * i
    return time.process_time() - start_s


def children_s() -> float:
    """Seconds of processor of all processes that this one started and that have ended."""
    times = os.times()
    return times.children_user + times.children_system
