"""The committed notebooks run from top to bottom, hold no outputs, and what their cells end with shows itself."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    names: dict[str, object] = {}
    shown = []
    for number, cell in enumerate(cells):
        assert cell["outputs"] == [] and cell["execution_count"] is None, f"{path.name}: clear its outputs"
        block = ast.parse("".join(cell["source"]))
        last = block.body.pop()
        assert isinstance(last, ast.Expr), f"{path.name}, cell {number}: ends with nothing to show"
        exec(compile(block, f"{path.name}, cell {number}", "exec"), names)
        value = eval(compile(ast.Expression(last.value), f"{path.name}, cell {number}", "eval"), names)
        html = getattr(value, "_repr_html_", None)
        shown.append(html() if html else repr(value))
    assert len(shown) > 3 and all(shown)


def test_there_are_two() -> None:
    assert len(NOTEBOOKS) == 2
