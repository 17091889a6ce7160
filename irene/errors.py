"""Every error irene raises on purpose, in one tree.

IreneError
  BadInput            the user's input is wrong: one clear line, exit code 2
    UnknownName       a model, device, dtype or op that nobody knows, with the nearest known name
    BadConfig         a configuration that cannot be read or built
    BadBundle         a predictor file that is corrupt, or newer than this version
    BadDataset        rows that cannot be read
    Untraceable       a model that cannot be traced, with the reason
    CannotWrite       a place that cannot be written
      NoSpace         a full disk: a failure at run time, exit code 1
  RankDied            one of several processes that measure ended too early: a failure at run time, exit code 1
  MeterError          a meter that cannot read, or readings that make no measurement
    MeterLost         a reading that failed though the device offers it: a failure at run time, exit code 1
    NotSupported      the device does not offer this reading
    NoMeasurement     a window with too few ticks or no difference: never 0 J
  ProgramFailed       what is measured died, hung or answered wrongly: a failure at run time, exit code 1

A message says what, where, expected, got and what to do next, in one or two lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

from irene.quoting import escape_controls, quote


class IreneError(Exception):
    """Base of all errors that irene raises on purpose.

    Its message commands no terminal, whatever name of others stands in it, and it survives the way between processes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(escape_controls(message, keep="\n"))

    def __reduce__(self) -> tuple[Callable[..., IreneError], tuple[type[IreneError], str]]:
        return _make_again, (type(self), str(self))  # some kinds take other arguments than their message


class BadInput(IreneError):
    """The user's input is wrong; the message says what to change."""


class UnknownName(BadInput):
    """A name that nobody knows.

    >>> raise UnknownName("model", "bert-bas", ["bert-base"], hint="'irene models' lists them.")
    Traceback (most recent call last):
    ...
    irene.errors.UnknownName: Unknown model 'bert-bas'. Did you mean 'bert-base'? 'irene models' lists them.
    """

    def __init__(self, what: str, got: str, known: Iterable[str], hint: str = "") -> None:
        by_lower = {name.lower(): name for name in known}
        typed = str(got)[:200].lower()  # longer ones are no misspelt names, and take minutes to compare
        close = difflib.get_close_matches(typed, by_lower, n=1, cutoff=0.5)
        message = f"Unknown {what} {quote(got)}."
        if close:
            message += f" Did you mean {by_lower[close[0]]!r}?"
        elif len(by_lower) <= 12:
            message += f" Expected one of: {', '.join(sorted(by_lower.values()))}."
        super().__init__(f"{message} {hint}".rstrip())


class BadConfig(BadInput):
    """A configuration that cannot be read or built."""


class BadBundle(BadInput):
    """A predictor bundle that is corrupt, or written by a newer version."""


class BadDataset(BadInput):
    """Measured rows that cannot be read."""


class CannotWrite(BadInput):
    """A place that cannot be written; what was there before is whole."""


class NoSpace(CannotWrite):
    """A disk that takes no more bytes; what was there before is whole."""


class Untraceable(BadInput):
    """A model that cannot be traced; the message says at which call and why."""


class RankDied(IreneError):
    """One of several processes that measure together ended before its work was done; rows are kept."""


class MeterError(IreneError):
    """A meter that cannot read, or readings that make no measurement."""


class MeterLost(MeterError):
    """A reading that failed although the device offers it: the driver or the board is gone."""


class NotSupported(MeterError):
    """The device does not offer this reading."""


class NoMeasurement(MeterError):
    """A window without enough ticks, or without a difference; never 0 J."""


class ProgramFailed(IreneError):
    """A program, function or model under measurement died, hung or answered wrongly."""


def _make_again(kind: type[IreneError], message: str) -> IreneError:
    error = kind.__new__(kind)
    error.args = (message,)
    return error


def in_one_line(error: BaseException, most: int = 500) -> str:
    r"""An error of a library with all that it says, its kind first.

    >>> in_one_line(ValueError("Validation error for 'width':\n    expected int, got float"))
    "ValueError: Validation error for 'width': expected int, got float"
    """
    text = " ".join(str(error).split())
    text = text if len(text) <= most else f"{text[: most - 3]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
