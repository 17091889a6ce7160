"""Golden files: tables of numbers and words by row and column name, and what moved between two of them.

A file is JSON, {table: {"columns": [names], "rows": {row name: [values]}}}, one row a line. Numbers have nine
significant digits. A comparison asks only for what the file has: new rows and new columns are no difference.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

Value: TypeAlias = "float | str"
Table: TypeAlias = "dict[str, dict[str, Value]]"
"""Row name -> column name -> value; all rows have the same columns."""

FOLDER = Path(__file__).parent
RELATIVE = 1e-6  # linear algebra differs between processors
_SHOWN = 20


def save_tables(path: Path, tables: Mapping[str, Table]) -> None:
    """Write tables as a golden file."""
    texts = []
    for name, table in tables.items():
        columns = list(next(iter(table.values())))
        rows = [f"  {json.dumps(row)}: {json.dumps([_rounded(of[c]) for c in columns])}" for row, of in table.items()]
        texts.append(
            f'{json.dumps(name)}: {{"columns": {json.dumps(columns)},\n "rows": {{\n' + ",\n".join(rows) + "}}"
        )
    path.write_text("{\n" + ",\n".join(texts) + "\n}\n", encoding="utf-8")


def load_tables(path: Path) -> dict[str, Table]:
    """Read a golden file."""
    return {
        name: {row: dict(zip(table["columns"], values, strict=True)) for row, values in table["rows"].items()}
        for name, table in json.loads(path.read_text(encoding="utf-8")).items()
    }


def find_moves(golden: Mapping[str, Table], now: Mapping[str, Table], near_zero: float = 0.0) -> list[str]:
    """What is missing now, or differs by more than RELATIVE and by more than `near_zero`: a line each, worst first."""
    moves: list[tuple[float, str]] = []
    for name, table in golden.items():
        for row, values in table.items():
            found = now.get(name, {}).get(row)
            if found is None:
                moves.append((math.inf, f"{name} | {row}: is gone"))
                continue
            for column, was in values.items():
                if column not in found:
                    moves.append((math.inf, f"{name} | {row} | {column}: is gone, was {was}"))
                elif (moved := _move(was, found[column], near_zero)) > 0:
                    moves.append((moved, f"{name} | {row} | {column}: {_told(was, found[column])}"))
    return [text for _, text in sorted(moves, key=lambda move: -move[0])]


def tell_moves(moves: Sequence[str], file: str) -> str:
    """The message of a failing test."""
    rest = f"\n  ... and {len(moves) - _SHOWN} more" if len(moves) > _SHOWN else ""
    advice = "If this was meant, `python -m tests.golden.write` writes them anew; the commit says why they moved."
    lines = "".join(f"\n  {move}" for move in moves[:_SHOWN])
    return f"{len(moves)} golden values of {file} moved, was -> is:{lines}{rest}\n{advice}"


def _move(was: Value, now: Value, near_zero: float) -> float:
    """How far a value moved relatively, 0 within the tolerances."""
    if isinstance(was, str) or isinstance(now, str):
        return 0.0 if was == now else math.inf
    if not math.isfinite(now):
        return math.inf
    difference, size = abs(now - was), max(abs(was), abs(now))
    return difference / size if difference > max(RELATIVE * size, near_zero) else 0.0


def _told(was: Value, now: Value) -> str:
    if isinstance(was, str) or isinstance(now, str) or was == 0:
        return f"{was} -> {now}"
    return f"{was:.9g} -> {now:.9g} ({100 * (now - was) / abs(was):+.3g} %)"


def _rounded(value: Value) -> Value:
    return value if isinstance(value, str) else float(f"{value:.9g}")
