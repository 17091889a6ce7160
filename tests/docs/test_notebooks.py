"""The committed notebooks hold no outputs, and run from top to bottom in a kernel of Jupyter, where each cell shows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.docs.blocks import ROOT

NOTEBOOKS = sorted((ROOT / "docs/notebooks").glob("*.ipynb"))
MISSING = "a kernel is missing: pip install '.[test]'"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_cleared(path: Path) -> None:
    cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, list[Any]]:
    """The cells of each notebook, run in one kernel that forgets all names between two: torch is imported once."""
    nbformat = pytest.importorskip("nbformat", reason=MISSING)
    nbclient = pytest.importorskip("nbclient", reason=MISSING)
    pytest.importorskip("ipykernel", reason=MISSING)
    folder = str(tmp_path_factory.mktemp("jupyter"))
    cells = {path: nbformat.read(path, as_version=4).cells for path in NOTEBOOKS}
    joined = nbformat.v4.new_notebook()
    for of_one in cells.values():
        joined.cells += [nbformat.v4.new_code_cell("%reset -f"), *of_one]
    with pytest.MonkeyPatch.context() as patches:
        for name, value in (("PYTHONPATH", str(ROOT)), ("IPYTHONDIR", folder), ("JUPYTER_DATA_DIR", folder)):
            patches.setenv(name, value)  # nobody's own settings
        nbclient.NotebookClient(joined, timeout=240, resources={"metadata": {"path": folder}}).execute()
    return {path: [cell for cell in of_one if cell.cell_type == "code"] for path, of_one in cells.items()}


@pytest.mark.filterwarnings("default")  # of Jupyter's own libraries
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(path: Path, ran: dict[Path, list[Any]]) -> None:
    cells = ran[path]
    assert len(cells) > 3
    for number, cell in enumerate(cells):
        shown = [output.data for output in cell.outputs if output.output_type in ("execute_result", "display_data")]
        assert len(shown) == 1 and _is_rich(shown[0]), (number, cell.outputs)


def _is_rich(data: Any) -> bool:
    """Whether a value shows as more than text, or is one of pandas or a list."""
    plain = data.get("text/plain", "")
    return (
        not data.keys().isdisjoint({"text/html", "application/vnd.plotly.v1+json"}) or "\n" in plain or plain[:1] == "["
    )


def test_there_are_two() -> None:
    assert len(NOTEBOOKS) == 2
