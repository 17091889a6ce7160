"""Cases in a forked child with limits, a few one after the other, and how each ended.

A fork of a process that has imported torch takes longer than most refusals, so a child takes a batch of cases. What
ends the child ends its batch; the cases behind it go to the next one.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.judging import Case, Outcome, judge
from tests.fuzz.programs import PROGRAMS

CPU_S, MORE_BYTES, FILE_BYTES = 60, 4 * 2**30, 2**28


@dataclass(frozen=True, slots=True)
class Drawn:
    """A case, and the folder that has its files and gets its streams."""

    case: Case
    folder: Path


def run_batch(batch: Sequence[Drawn], limit_s: float) -> list[Outcome]:
    """The outcomes of the first cases of a batch: all, or those up to one that ended the child.

    `limit_s` is what one case may take by the clock; its processor time has a limit of its own.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _run_all(batch, writing)
    os.close(writing)
    outcomes: list[Outcome] = []
    try:
        for drawn in batch:
            code = _wait_for_one(reading, limit_s)
            if code is None:
                os.kill(child, signal.SIGKILL)
            if code is None or code == "":
                _, status = os.waitpid(child, 0)
                child = 0
                ended = None if code is None else os.waitstatus_to_exitcode(status)
                return [*outcomes, judge(drawn.case, drawn.folder, ended)]
            outcomes.append(judge(drawn.case, drawn.folder, int(code)))
    finally:
        os.close(reading)
        if child:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    return outcomes


def _wait_for_one(reading: int, limit_s: float) -> str | None:
    """The exit code that the child tells next; '' where it ended without, None where it takes too long."""
    if not select.select([reading], [], [], limit_s)[0]:
        return None
    return os.read(reading, 4).decode().strip()  # four characters a case


def _run_all(batch: Sequence[Drawn], writing: int) -> None:
    code = 71
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            now_bytes = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now_bytes + MORE_BYTES, now_bytes + MORE_BYTES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for drawn in batch:
            used = resource.getrusage(resource.RUSAGE_SELF)
            resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + CPU_S, -1))
            os.chdir(drawn.folder)
            for descriptor, name in ((1, "out"), (2, "err")):
                file_descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                os.dup2(file_descriptor, descriptor)
                os.close(file_descriptor)
            sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
            done = PROGRAMS[drawn.case.program](drawn.case.arguments)
            sys.stdout.flush()
            sys.stderr.flush()
            os.write(writing, f"{done % 1000:<4}".encode())
        code = 0
    finally:
        os._exit(code)
