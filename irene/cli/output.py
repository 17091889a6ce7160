"""Where a command's data goes: standard output or a file; nothing else is ever written to standard output."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from irene.errors import BadInput


def write_output(text: str, output: Path | None) -> None:
    """Write a command's data, with one newline at its end."""
    text = text.rstrip("\n") + "\n"
    if output is None:
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except BrokenPipeError:  # the reader (head, less) has seen enough; nothing more is written at exit either
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")
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
