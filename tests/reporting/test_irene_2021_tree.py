"""The paper's format: its own reader takes the line, and nothing of the prediction is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import irene
from irene.irene_2021.checks import COUNTED_FEATURES
from irene.irene_2021.tree_files import load_trees
from irene.reporting.formats import write_prediction


@pytest.fixture(scope="module")
def prediction() -> irene.Prediction:
    return irene.predict("albert-base-v2", batch_size=4, seq_len=16)  # one layer, called twelve times


def test_the_reader_of_the_papers_files_takes_it(prediction: irene.Prediction, tmp_path: Path) -> None:
    path = tmp_path / "predicted.jsonl"
    text = write_prediction(prediction, "irene-2021")
    assert isinstance(text, str)
    path.write_text(text + "\n")
    (tree,) = load_trees(path, features=(*COUNTED_FEATURES, "times_mean"), measured=False)
    nodes = list(tree.walk())
    assert len(nodes) == len(prediction.flat) == len({node["id"] for node in nodes})
    assert tree.root["predicted_energy"] == pytest.approx(prediction.energy_j)
    assert tree.root["times_mean"] == pytest.approx(prediction.duration_s)
    assert tree.root["flops"] * 1e6 == pytest.approx(float(prediction.values.flop[0]))


def test_children_sum_to_their_parent_and_name_it(prediction: irene.Prediction) -> None:
    waiting = [json.loads(write_prediction(prediction, "irene-2021"))["frontend_tree"]]
    leaves = 0
    while waiting:
        node = waiting.pop()
        children = node["child_nodes_obj"]
        leaves += not children
        assert [child["scope"] for child in children] == node["child_nodes"]
        assert all(child["parent_name"] == node["scope"] for child in children)
        if children:
            assert sum(child["predicted_energy"] for child in children) == pytest.approx(node["predicted_energy"])
        waiting += children
    assert leaves > 100
