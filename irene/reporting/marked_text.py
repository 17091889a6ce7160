"""For experiments: text between two marks of a Markdown file, which a command wrote there and writes again."""

from __future__ import annotations

from pathlib import Path

from irene.errors import BadInput
from irene.files import write_whole

BEGIN, END = "<!-- written by run.py: begin -->", "<!-- written by run.py: end -->"


def write_between_marks(path: Path, markdown: str, begin: str = BEGIN, end: str = END) -> None:
    """Replace what stands between the marks of a file. Raises BadInput if they are not there, once each, in order."""
    text = path.read_text("utf-8")
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found or text.count(begin) != 1 or text.count(end) != 1:
        raise BadInput(f"{path}: expected {begin!r} and {end!r}, once each, in this order. Put them where text goes.")
    write_whole(path, f"{before}{begin}\n\n{markdown.strip()}\n\n{end}{after}")
