"""Examples in docstrings as blocks of code: Markdown takes a line that begins with '>>>' for a quotation."""

from __future__ import annotations

import re
from typing import Any

import griffe


class FenceDoctests(griffe.Extension):
    """Puts a fence around every paragraph of a docstring that begins with '>>>'."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for each module, class, function and attribute, once all of it is loaded."""
        if obj.docstring is not None:
            parts = re.split(r"\n\s*\n", obj.docstring.value)
            fenced = (f"```pycon\n{part}\n```" if part.lstrip().startswith(">>>") else part for part in parts)
            obj.docstring.value = "\n\n".join(fenced)
