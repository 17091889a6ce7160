"""Tables and lines that fit their terminal: the least columns are left out, words wrap, and no number is cut."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table
from rich.text import Text

from irene.quoting import escape_controls

_TEXT, _NAME = 20, 28
"""Characters that a column of text, and one of names, keeps before another column is left out."""


class FittingTable(Table):
    """A rich table that leaves out the columns named in `gives_way`, the first of them first, until the rest fits."""

    def __init__(self, gives_way: Sequence[str] = (), **settings: Any) -> None:
        super().__init__(**settings)
        self.gives_way = tuple(gives_way)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield from Table.__rich_console__(self.fitted(options.max_width), console, options)

    def fitted(self, width: int) -> FittingTable:
        """The table with those columns that fit into `width` characters."""
        shown = copy(self)
        shown.columns = list(self.columns)
        for name in self.gives_way:
            if shown.least_width <= width:
                break
            shown.columns = [column for column in shown.columns if column.header != name]
        # rich finds a column's cells by its place
        shown.columns = [_moved(column, place) for place, column in enumerate(shown.columns)]
        return shown

    @property
    def least_width(self) -> int:
        """Characters of a row whose numbers stay whole, and whose texts wrap at some 20."""
        widths = [_least_width(column) for column in self.columns]
        return sum(widths) + 3 * max(0, len(widths) - 1)  # a blank, the divider and a blank between two


def _least_width(column: Column) -> int:
    texts = [str(column.header), *map(str, column.cells)]
    widest = max(cell_len(line) for text in texts for line in (text.splitlines() or [""]))
    if column.no_wrap:
        return widest
    return max(column.min_width, min(widest, _NAME)) if column.min_width else min(widest, _TEXT)


def _moved(column: Column, place: int) -> Column:
    moved = copy(column)
    moved._index = place
    return moved


@dataclass(frozen=True)
class Line:
    """A line of text that goes on, where it is too long, `indent` characters to the right: under its own words."""

    text: str
    indent: int = 2

    def __str__(self) -> str:
        return self.text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(options.max_width, self.indent + 10)
        text = escape_controls(self.text)
        for part in textwrap.wrap(text, width, subsequent_indent=" " * self.indent, break_on_hyphens=False) or [""]:
            yield Text(part)


def head(title: str, *lines: str) -> list[Line]:
    """A title and lines 'label      words' below it, whose words stand 11 characters to the right."""
    return [Line(title), *(Line(line, 11) for line in lines)]
