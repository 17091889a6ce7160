"""PNG and SVG files of each figure, without a browser, the same bytes each time."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from irene.errors import BadInput
from irene.predictor.prediction import Prediction
from irene.reporting.static_figures import write_figures


@pytest.fixture(scope="module")
def written(bert: Prediction, captured: Prediction, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_figures({"eager": bert, "graph/b": captured}, tmp_path_factory.mktemp("written") / "figures")


def test_each_figure_twice(written: list[Path]) -> None:
    names = {path.name for path in written}
    stems = {f"{model}-{kind}" for model in ("eager", "graph-b") for kind in ("icicle", "layers", "kinds", "roofline")}
    assert names == {f"{stem}.{suffix}" for stem in (*stems, "comparison") for suffix in ("png", "svg")}
    assert {path.name for path in written[0].parent.iterdir()} == names
    for path in written:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")
        else:
            assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_the_same_bytes(bert: Prediction, written: list[Path], tmp_path: Path) -> None:
    """Alone, the figures of a model are those that it has beside another."""
    drawn = [path for path in write_figures({"eager": bert}, tmp_path) if path.suffix == ".svg"]
    assert len(drawn) == 4
    before = {path.name: path.read_bytes() for path in written}
    assert [path.name for path in drawn if path.read_bytes() != before[path.name]] == []


def test_what_stands_in_the_way_is_said(
    prediction: Prediction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="Cannot write .*file"):
        write_figures({"tiny": prediction}, tmp_path / "file")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BadInput, match="pip install matplotlib"):
        write_figures({"tiny": prediction}, tmp_path)
