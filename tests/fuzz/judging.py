"""A case, and how it ended: answered, refused in one clear line, or in one of the ways that no input may end."""

from __future__ import annotations

import json
import math
import signal
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

_MOST_LINE = 1200
_OURS = ("Warning: ", "Made the folder ", "Wrote ")


@dataclass(frozen=True, slots=True)
class Case:
    """Arguments of a program; `right` is the standard output that is right where the input is not refused."""

    kind: str
    number: int
    arguments: tuple[str, ...]
    right: str | None = None
    program: str = "irene"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended: `verdict` is one of `VERDICTS`."""

    case: Case
    verdict: str
    code: int
    error: str


BAD = ("traceback", "crash", "endless", "unclear", "wrong")
VERDICTS = ("answered", "refused", "failed", *BAD)
"""'failed' is a full disk, said in one line; 'unclear' anything else than one clear line."""


def judge(case: Case, folder: Path, code: int | None) -> Outcome:
    """The outcome of a case whose streams are files in `folder`; no code means that it was stopped."""
    out, error = _read(folder / "out"), _read(folder / "err")
    *before, last = error.splitlines() or [""]
    if code is None or code == -signal.SIGXCPU:
        verdict = "endless"
    elif code < 0 or code == 71:
        verdict = "crash"
    elif "Traceback (most recent call last)" in error:
        verdict = "traceback"
    elif code in (0, 3):
        is_right = (case.right is None or _is_same(out, case.right)) and is_sound(out, case.arguments)
        verdict = "wrong" if not is_right else "answered" if _is_ours([*before, last]) else "unclear"
    elif code == 1:
        verdict = "failed" if is_one_clear_line(error) and "no space left" in error else "unclear"
    else:
        verdict = "refused" if is_one_clear_line(error) and not out else "unclear"
    return Outcome(case, verdict, -9 if code is None else code, error[-2000:])


def is_one_clear_line(error: str) -> bool:
    """Whether a refusal is one line that begins as ours do, after at most warnings of ours."""
    *before, last = error.splitlines() or [""]
    return _is_ours(before) and last.startswith("Error: ") and 10 < len(last) < _MOST_LINE and last.isprintable()


def is_sound(out: str, arguments: tuple[str, ...]) -> bool:
    """Whether JSON is JSON, and a prediction in it is finite, inside its interval, and the sum of its parts."""
    formats = [value for option, value in pairwise(arguments) if option == "--format"]
    if formats[-1:] != ["json"] or "--output" in arguments:  # of an option given twice the last counts
        return True
    try:
        data = json.loads(out, parse_constant=_refuse)
    except ValueError:
        return not out  # --help
    if not isinstance(data, dict) or "interval_j" not in data or "breakdown_j" not in data:
        return True
    numbers: list[Any] = [data["energy_j"], *data["interval_j"], *data["breakdown_j"].values()]
    low, high = data["interval_j"]
    return (
        all(isinstance(number, (int, float)) and math.isfinite(number) for number in numbers)
        and 0 <= low <= data["energy_j"] <= high
        and math.isclose(sum(data["breakdown_j"].values()), data["energy_j"], rel_tol=1e-5, abs_tol=1e-12)
    )


def _is_same(out: str, right: str) -> bool:
    try:
        return out == right or json.loads(out) == json.loads(right)
    except ValueError:
        return False


def _is_ours(lines: list[str]) -> bool:
    return all(line.startswith(_OURS) or not line for line in lines)


def _refuse(name: str) -> None:
    raise ValueError(name)


def _read(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.exists() else ""
