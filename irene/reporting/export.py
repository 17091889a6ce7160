"""Rows as CSV: the numbers in full, for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from irene.quoting import escape_controls

_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last four: the same, in full width


def rows_to_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """CSV with a header; floats in full precision, a missing value empty. All rows have the keys of the first."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: _to_cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _to_cell(value: Any) -> Any:
    text = ";".join(map(str, value)) if isinstance(value, (list, tuple)) else value
    if not isinstance(text, str):  # numbers are no texts
        return text
    # Names come from files of others: a return in one would begin a row, and a spreadsheet runs what looks like a
    # formula.
    text = escape_controls(text)
    return f"'{text}" if text.startswith(_FORMULA) else text
