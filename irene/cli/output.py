"""Where a command's data goes: standard output or a file; nothing else is ever written to standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from irene.errors import BadInput


def write_output(data: str | bytes, output: Path | None) -> None:
    """Write a command's data: text with one newline at its end, bytes as they are."""
    content = data if isinstance(data, bytes) else data.rstrip("\n") + "\n"
    if output is not None:
        _write_file(content, output)
        return
    if isinstance(content, bytes) and sys.stdout.isatty():
        raise BadInput("This format is binary and standard output is a terminal; name a file with --output.")
    try:
        if isinstance(content, bytes):
            sys.stdout.buffer.write(content)
        else:
            sys.stdout.write(content)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader (head, less) has seen enough; nothing more is written at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _write_file(content: str | bytes, output: Path) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_bytes(content.encode("utf-8") if isinstance(content, str) else content)
    except OSError as error:
        raise BadInput(f"Cannot write {str(output)!r}: {error.strerror or error}.") from None


def list_as(rows: Sequence[Mapping[str, Any]], file_format: str, columns: Iterable[str]) -> str:
    """Rows of a listing as a table, JSON or CSV; a table shows only `columns`."""
    if file_format == "json":
        return json.dumps(list(rows), indent=2)
    from irene.reporting.export import rows_to_csv
    from irene.reporting.rendering import render, simple_table

    shown = list(columns)
    if file_format == "csv":
        return rows_to_csv([{key: row[key] for key in shown} for row in rows])
    return render(simple_table(shown, [[row[key] for key in shown] for row in rows]), to_terminal=sys.stdout.isatty())
