"""The tables for terminals as HTML: the same rows and numbers, with every name escaped."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table

from irene.quoting import escape_html


def renderable_to_html(renderable: RenderableType) -> str:
    """The HTML of what `irene.reporting.rendering.render` would print; lines stay lines, tables become tables.

    >>> renderable_to_html(Group("a <b>", ""))
    '<div style="white-space:pre-wrap">a &lt;b&gt;</div>'
    """
    if isinstance(renderable, Group):
        return "\n".join(filter(None, map(renderable_to_html, renderable.renderables)))
    if isinstance(renderable, Table):
        return _table_to_html(renderable)
    text = _escape(str(renderable))
    return f'<div style="white-space:pre-wrap">{text}</div>' if text.strip() else ""


def _table_to_html(table: Table) -> str:
    aligned = [f"text-align:{'right' if column.justify == 'right' else 'left'}" for column in table.columns]
    heads = (_escape(str(column.header)) for column in table.columns)
    head = "".join(f'<th style="{style}">{text}</th>' for style, text in zip(aligned, heads, strict=True))
    rows = []
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        texts = (_escape(str(cell)) for cell in cells)
        rows.append("".join(f'<td style="{style}">{text}</td>' for style, text in zip(aligned, texts, strict=True)))
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _escape(text: str) -> str:
    indent = len(text) - len(text.lstrip(" "))  # depth in the tree, which HTML would not show
    return "&nbsp;" * indent + escape_html(text[indent:])
