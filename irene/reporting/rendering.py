"""Tables for people: rich renderables turned into text, coloured only for a terminal."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table

from irene.quoting import escape_controls
from irene.reporting.fitting import FittingTable

if TYPE_CHECKING:
    from rich.console import JustifyMethod
    from rich.text import Text

FILE_WIDTH = 140
"""Columns in a file or a pipe, where no terminal says how wide it is."""


def render(renderable: RenderableType, *, to_terminal: bool = False) -> str:
    """The text of a table; with colours (unless NO_COLOR is set) and the terminal's own width if it goes to one."""
    width = None if to_terminal else FILE_WIDTH
    text = io.StringIO()
    colors: Literal["auto"] | None = "auto" if to_terminal and not os.environ.get("NO_COLOR") else None
    # No markup: brackets in a path or a message are brackets.
    console = _Console(
        file=text, width=width, force_terminal=to_terminal, color_system=colors, markup=False, highlight=False
    )
    console.print(renderable)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


class _Console(Console):
    """A console on which no name from a file commands the terminal."""

    def render_str(self, text: str, **options: Any) -> Text:
        return super().render_str(escape_controls(text, keep="\n"), **options)


def simple_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], gives_way: Sequence[str] = ()) -> Table:
    """A plain table; a column of numbers is aligned right, a missing value is '-'.

    Columns that `gives_way` names are left out, one after the other, where the terminal is too narrow.
    """
    table = new_table(gives_way=gives_way)
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], (int, float, type(None))) for row in rows)
        if numeric:
            table.add_column(column, justify="right", no_wrap=True)
        else:
            table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_format_cell(value) for value in row))
    return table


def new_table(*numbers: str, first: str = "", gives_way: Sequence[str] = ()) -> Table:
    """A table in the house's style, with a wide first column and right-aligned ones for numbers.

    Numbers stay whole: the first column wraps, and then the columns of `gives_way` are left out, in this order.
    """
    table = FittingTable(gives_way, box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, highlight=False)
    if first:
        table.add_column(first, overflow="fold", min_width=20)
    justify: JustifyMethod = "right"
    for name in numbers:
        table.add_column(name, justify=justify, no_wrap=True)
    return table


def _format_cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
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
