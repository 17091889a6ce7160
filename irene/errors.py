"""Every error irene raises on purpose, in one tree.

IreneError
  BadInput            the user's input is wrong: one clear line, exit code 2
    UnknownName       a model, device, dtype or op that nobody knows, with the nearest known name
    BadConfig         a configuration that cannot be read or built
    BadBundle         a predictor file that is corrupt, or newer than this version
    BadDataset        rows that cannot be read
    Untraceable       a model that cannot be traced, with the reason
    CannotWrite       an output folder that takes no more bytes (it lives in irene.dataset.journal)
  MeterError          a meter that cannot read, or readings that make no measurement
    NotSupported      the device does not offer this reading
    NoMeasurement     a window with too few ticks or no difference: never 0 J

A message says what, where, expected, got and what to do next, in one or two lines.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class IreneError(Exception):
    """Base of all errors that irene raises on purpose."""


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
        close = difflib.get_close_matches(str(got).lower(), by_lower, n=1, cutoff=0.5)
        message = f"Unknown {what} {got!r}."
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


class Untraceable(BadInput):
    """A model that cannot be traced; the message says at which call and why."""


class MeterError(IreneError):
    """A meter that cannot read, or readings that make no measurement."""


class NotSupported(MeterError):
    """The device does not offer this reading."""


class NoMeasurement(MeterError):
    """A window without enough ticks, or without a difference; never 0 J."""
