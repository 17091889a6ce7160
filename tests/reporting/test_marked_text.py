"""Text between marks is replaced, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from irene.errors import BadInput
from irene.reporting.marked_text import BEGIN, END, write_between_marks


def test_only_what_stands_between_the_marks_changes(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for text in ("new", "newer\nlines"):
        write_between_marks(path, text)
        assert path.read_text() == f"before\n{BEGIN}\n\n{text}\n\n{END}\nafter\n"


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}{BEGIN}", f"{BEGIN}{END}{BEGIN}{END}"])
def test_marks_that_are_not_there_are_an_error(tmp_path: Path, text: str) -> None:
    path = tmp_path / "README.md"
    path.write_text(text)
    with pytest.raises(BadInput, match="once each"):
        write_between_marks(path, "new")
    assert path.read_text() == text
