"""Processes by Linux's /proc: who descends from whom, and how much memory they hold; and how to end them all."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_GRACE_S = 3.0


def list_family(root: int) -> list[int]:
    """A process and all that descend from it, as far as /proc says; the process alone where there is no /proc."""
    children: dict[int, list[int]] = {}
    for entry in _PROC.glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):
            after_name = entry.read_text().rpartition(")")[2].split()
            children.setdefault(int(after_name[1]), []).append(int(entry.parent.name))
    family = [root]
    for member in family:
        family += children.get(member, [])
    return family


def read_peak_memory(root: int) -> int | None:
    """Bytes that a process has held at most, and its descendants with it; None where /proc does not say.

    Peaks of several processes are summed: they need not have come at one time, so it is no less than what was held.
    """
    peaks = [_read_field(member, "VmHWM:") for member in list_family(root)]
    known = [peak for peak in peaks if peak is not None]
    return sum(known) if known else None


def _read_field(process: int, name: str) -> int | None:
    with suppress(OSError, ValueError, IndexError):
        for line in (_PROC / str(process) / "status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) * 1024
    return None


def end_family(child: subprocess.Popen[bytes], grace_s: float = _GRACE_S) -> None:
    """End a child that leads a session, and all that descend from it: asked first, then killed.

    Descendants that made sessions of their own are found by /proc. Returns when all are gone, or after a while.
    """
    family = list_family(child.pid)
    _signal_all(child.pid, family, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(grace_s)
    family = list(dict.fromkeys([*family, *list_family(child.pid)]))
    _signal_all(child.pid, family, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        child.wait(grace_s)
    end_s = time.monotonic() + grace_s  # a busy machine takes its time even to end what was killed
    while any(map(_is_alive, family[1:])) and time.monotonic() < end_s:
        time.sleep(0.005)


def _is_alive(process: int) -> bool:
    """Whether a process runs; one that has ended and that nobody asked for is dead."""
    with suppress(OSError, IndexError):
        return (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    return False


def _signal_all(leader: int, family: list[int], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, number)
    for member in family[1:]:  # the first one is the leader
        with suppress(ProcessLookupError, PermissionError):
            os.kill(member, number)
