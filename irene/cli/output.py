"""Where a command's data goes: standard output or a file; nothing else is ever written to standard output."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from irene.errors import BadInput, CannotWrite
from irene.files import cannot_write, write_whole
from irene.quoting import escape_controls, quote

_MOST = 1000
"""Characters of one line on standard error."""
_PLAIN = str.maketrans({"─": "-", "━": "=", "│": "|", "…": "...", "–": "-", "×": "x", "·": ".", "≥": ">=", "≤": "<="})


def write_output(data: str | bytes, output: Path | None) -> None:
    """Write a command's data: text with one newline at its end, bytes as they are.

    Raises `CannotWrite` for a place or a standard output that takes no (more) bytes.
    """
    content = data if isinstance(data, bytes) else data.rstrip("\n") + "\n"
    if output is not None:
        make_folder(output.parent)
        write_whole(output, content)
        return
    if sys.stdout is None:
        raise CannotWrite("Cannot write to standard output: it is closed. Name a file with --output.")
    if isinstance(content, bytes) and sys.stdout.isatty():
        raise BadInput("This format is binary and standard output is a terminal; name a file with --output.")
    try:
        if isinstance(content, bytes):
            sys.stdout.buffer.write(content)
        else:
            sys.stdout.write(_encodable(content, sys.stdout.encoding or "utf-8"))
        sys.stdout.flush()
    except OSError as problem:
        drop_stdout()
        if not isinstance(problem, BrokenPipeError):  # the reader (head, less) has seen enough
            raise cannot_write("standard output", problem, "") from None


def drop_stdout() -> None:
    """Nothing more goes to standard output, not even what is still in its buffer at exit."""
    with suppress(OSError, ValueError, AttributeError):  # in a test it may be no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def say(line: str) -> None:
    """One line on standard error, short and without codes that command a terminal."""
    text = escape_controls(" ".join(line[: 100 * _MOST].split()))
    if len(text) > _MOST:
        text = f"{text[: _MOST // 2]} ... {text[-_MOST // 2 :]}"
    if sys.stderr is not None:  # print() would take standard output instead
        with suppress(OSError):
            print(text, file=sys.stderr)


def make_folder(folder: Path) -> None:
    """Make a missing folder of an output, and say so: a wrong path is seen at once. Raises `CannotWrite`."""
    try:
        if not folder.exists():
            folder.mkdir(parents=True)
            say(f"Made the folder {quote(str(folder))}.")
    except (OSError, ValueError) as problem:
        raise cannot_write(folder, problem, "") from None


def stderr_is_terminal() -> bool:
    """Whether somebody watches what a command says of itself."""
    return sys.stderr is not None and sys.stderr.isatty()


def stdout_is_terminal() -> bool:
    """Whether people read standard output."""
    return sys.stdout is not None and sys.stdout.isatty()


def list_as(
    rows: Sequence[Mapping[str, Any]], file_format: str, columns: Iterable[str], gives_way: Sequence[str] = ()
) -> str:
    """Rows of a listing as a table, JSON or CSV; a table shows only `columns`, a narrow one without `gives_way`."""
    if file_format == "json":
        return json.dumps(list(rows), indent=2)
    from irene.reporting.export import rows_to_csv
    from irene.reporting.rendering import render, simple_table

    shown = list(columns)
    if file_format == "csv":
        return rows_to_csv([{key: row[key] for key in shown} for row in rows])
    table = simple_table(shown, [[row[key] for key in shown] for row in rows], gives_way)
    return render(table, to_terminal=stdout_is_terminal())


def _encodable(text: str, encoding: str) -> str:
    """The text in characters that the terminal has: lines of tables become ASCII, anything else an escape."""
    with suppress(UnicodeEncodeError):
        text.encode(encoding)
        return text
    return text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)


def prepare_streams() -> None:
    """Let no character stop a command: what standard output cannot encode is written as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
