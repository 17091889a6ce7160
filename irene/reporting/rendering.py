"""Tables for people: rich renderables turned into text, coloured only for a terminal."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

if TYPE_CHECKING:
    from rich.console import JustifyMethod

FILE_WIDTH = 140
"""Columns in a file or a pipe, where no terminal says how wide it is."""


def render(renderable: RenderableType, *, to_terminal: bool = False) -> str:
    """The text of a table; with colours and the terminal's own width if it goes to one."""
    width = None if to_terminal else FILE_WIDTH
    text = io.StringIO()
    colors: Literal["auto"] | None = "auto" if to_terminal else None
    # No markup: brackets in a path or a message are brackets.
    console = Console(
        file=text, width=width, force_terminal=to_terminal, color_system=colors, markup=False, highlight=False
    )
    console.print(renderable)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def simple_table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
    """A plain table; a column of numbers is aligned right, a missing value is '-'."""
    table = new_table()
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], (int, float, type(None))) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_format_cell(value) for value in row))
    return table


def new_table(*numbers: str, first: str = "") -> Table:
    """A table in the house's style, with a wide first column and right-aligned ones for numbers."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, highlight=False)
    if first:
        table.add_column(first, overflow="fold", min_width=20)  # the one column that gives way: numbers stay whole
    justify: JustifyMethod = "right"
    for name in numbers:
        table.add_column(name, justify=justify, no_wrap=True)
    return table


def _format_cell(value: Any) -> str:
    if value is None or value != value:  # NaN differs from itself
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)
