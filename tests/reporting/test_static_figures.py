"""PNG and SVG files of each figure, without a browser, the same bytes each time."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from irene.errors import BadInput
from irene.predictor.prediction import Prediction
from irene.reporting.static_figures import write_figures


def test_each_figure_twice(bert: Prediction, captured: Prediction, tmp_path: Path) -> None:
    written = write_figures({"eager": bert, "graph/b": captured}, tmp_path / "figures")
    names = {path.name for path in written}
    stems = {f"{model}-{kind}" for model in ("eager", "graph-b") for kind in ("icicle", "layers", "kinds", "roofline")}
    assert names == {f"{stem}.{suffix}" for stem in (*stems, "comparison") for suffix in ("png", "svg")}
    assert {path.name for path in (tmp_path / "figures").iterdir()} == names
    for path in written:
        if path.suffix == ".png":
            assert path.read_bytes().startswith(b"\x89PNG")
        else:
            assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_the_same_bytes(bert: Prediction, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        write_figures({"bert": bert}, tmp_path / folder)
    for path in (tmp_path / "a").glob("*.svg"):
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes()


def test_what_stands_in_the_way_is_said(
    prediction: Prediction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="Cannot write .*file"):
        write_figures({"tiny": prediction}, tmp_path / "file")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BadInput, match="pip install matplotlib"):
        write_figures({"tiny": prediction}, tmp_path)
