"""A MODEL argument is read once, whatever it is, and what it is decides what happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import irene
from irene.errors import BadInput
from irene.model_tree import model_files
from irene.model_tree.serialization import tree_to_json
from irene.model_tree.tree import ModelTree
from irene.predictor.prediction import Prediction
from irene.predictor.prediction_files import save_prediction
from irene.predictor.reading import read_model
from irene.tracing.sources import NamedConfig
from tests.tracing.tiny_models import tiny_config


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that were parsed."""
    seen: list[str] = []
    read_json = model_files.read_json

    def listen(path: Path, *more: Any) -> Any:
        seen.append(Path(path).name)
        return read_json(path, *more)

    monkeypatch.setattr(model_files, "read_json", listen)
    return seen


def test_a_file_says_what_it_is(tree: ModelTree, prediction: Prediction, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(tiny_config("bert").to_dict()))
    (tmp_path / "tree.json").write_text(json.dumps(tree_to_json(tree)))
    save_prediction(prediction, tmp_path / "prediction.json")
    assert read_model(tmp_path / "tree.json") == tree
    assert read_model(str(tmp_path / "prediction.json")).energy_j == prediction.energy_j
    for spelling in (tmp_path, tmp_path / "config.json"):
        found = read_model(spelling)
        assert isinstance(found, NamedConfig) and (found.config.model_type, found.name) == ("bert", str(spelling))
        assert read_model(found) is found
    assert read_model("bert-tiny").name == "bert-tiny"


def test_a_config_is_parsed_once_a_call(tmp_path: Path, reads: list[str]) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(tiny_config("bert").to_dict()))
    predicted = irene.predict(path, seq_len=8)
    assert reads == ["config.json"] and predicted.tree.model == str(path)
    irene.sweep(path, batch_sizes=[1, 2], seq_lens=[8])
    why = irene.explain(path, seq_len=8)
    assert reads == ["config.json"] * 3 and len(why.counterfactuals) > 3


def test_what_is_saved_is_of_one_size(prediction: Prediction, tree: ModelTree, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    save_prediction(prediction, path)
    with pytest.raises(BadInput, match="saved prediction has no shapes"):
        irene.predict(path)
    for saved in (path, tree):
        with pytest.raises(BadInput, match="of one batch size and length"):
            irene.sweep(saved)
