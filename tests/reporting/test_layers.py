"""The cut into layers: every joule in exactly one bar, whatever the architecture."""

from __future__ import annotations

import pytest

import irene
from irene.model_tree.graph import flatten
from irene.model_tree.tree import ModelTree
from irene.predictor.prediction import Prediction
from irene.reporting.layers import cut_into_layers


def test_labels_of_the_small_tree(tree: ModelTree) -> None:
    labels = [layer.label for layer in cut_into_layers(flatten(tree))]
    assert labels == ["layers.0", "layers.1", "shared@0", "shared@1", "shared@2", "dropout", "Tiny itself"]


def test_bars_hold_every_leaf_once(tree: ModelTree) -> None:
    flat = flatten(tree)
    covered = [
        index for layer in cut_into_layers(flat) for top in layer.indices for index in range(top, flat.subtree_end[top])
    ]
    assert len(covered) == len(set(covered))
    assert set(flat.leaf_index) <= set(covered)


@pytest.mark.parametrize(
    ("model", "layers"),
    [("bert-base-uncased", 12), ("albert-base-v2", 12), ("t5-small", 12), ("google/vit-base-patch16-224", 12)],
)
def test_architectures(model: str, layers: int) -> None:
    prediction: Prediction = irene.predict(model)
    cut = cut_into_layers(prediction.flat)
    numbered = [layer for layer in cut if layer.label.split("@")[0].rpartition(".")[2].isdigit()]
    assert len(numbered) == layers
    joules = sum(float(prediction.values.energy_j[list(layer.indices)].sum()) for layer in cut)
    assert joules == pytest.approx(prediction.energy_j)
