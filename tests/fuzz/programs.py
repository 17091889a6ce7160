"""What a case calls: the command itself, its tree of options made once, or a reader that prints what it read."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import typer.main

import irene.cli.main as command
from irene.errors import IreneError
from irene.hardware import devices

COMMAND = typer.main.get_command(command.app)
"""The same command; typer makes it anew for each call, which takes longer than most refusals."""


def run_command(arguments: Sequence[str]) -> int:
    """`irene` with these arguments, in this process."""
    command.app = COMMAND  # type: ignore[assignment]
    devices._READ.clear()  # or a sheet of one case would take its name from the next
    return command.run(arguments)


def print_rows(arguments: Sequence[str]) -> int:
    """A digest of every value that is read from a folder of rows and surveys: the library, as `irene` would call it."""
    from irene.dataset.store import load_rows
    from irene.dataset.surveys import load_surveys

    try:
        frames = [load_rows(arguments[0]), load_surveys(arguments[0])]
    except IreneError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 2
    shared = sorted((str(key), str(value)) for key, value in frames[0].attrs.items())
    texts = [frame.to_csv(index=False, float_format="%r") for frame in frames]
    print(hashlib.sha256(repr((shared, texts)).encode()).hexdigest())
    return 0


PROGRAMS: dict[str, Callable[[Sequence[str]], int]] = {"irene": run_command, "rows": print_rows}


def output_of(program: str, *arguments: str | Path) -> str:
    """Standard output of a program that must answer, run here."""
    out, error = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(error):
        code = PROGRAMS[program]([str(argument) for argument in arguments])
    if code:
        raise RuntimeError(f"irene {' '.join(map(str, arguments))}: exit {code}: {error.getvalue()}")
    return out.getvalue()
