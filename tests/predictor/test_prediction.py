"""A prediction answers for the root and for every node, and refuses values that do not add up."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from irene.errors import UnknownName
from irene.predictor.prediction import Prediction
from irene.predictor.prediction_files import prediction_to_json


def test_root(prediction: Prediction) -> None:
    values = prediction.values
    assert prediction.energy_j == values.energy_j[0] == values.energy_j[prediction.flat.is_leaf].sum()
    assert prediction.interval_j == (0.8 * prediction.energy_j, 1.3 * prediction.energy_j)
    assert prediction.power_w == pytest.approx(1000)
    assert prediction.provenance == "extrapolated"
    assert sum(prediction.breakdown_j.values()) == pytest.approx(prediction.energy_j)
    assert list(prediction.breakdown_j) == ["compute", "memory", "static", "launch_gap"]
    assert "tiny 2 x 4 bfloat16 eager on h200: 113 J [90.4 J to 147 J], 113 ms, extrapolated" in repr(prediction)


def test_node_sums_the_calls_of_a_module(prediction: Prediction) -> None:
    every = prediction.node("shared")
    each = [prediction.node(f"shared@{i}") for i in range(3)]
    assert (every.calls, each[0].calls) == (3, 1)
    assert every.energy_j == sum(node.energy_j for node in each)
    assert every.duration_s == pytest.approx(sum(node.duration_s for node in each))
    assert every.interval_j[1] == pytest.approx(1.3 * every.energy_j)
    assert every.parameters == 16
    assert every.share == pytest.approx(every.energy_j / prediction.energy_j)
    assert sum(every.breakdown_j.values()) == pytest.approx(every.energy_j)
    assert (every.kind, every.type, every.bound, every.provenance) == (
        "module",
        "Layer",
        "host_bound",
        "interpolated",
    )


def test_node_of_a_leaf_and_of_nothing(prediction: Prediction) -> None:
    assert prediction.node("/linear#1").energy_j == 17
    assert prediction.node("").energy_j == prediction.energy_j
    view = prediction.node("layers.0/view#0")
    assert (view.energy_j, view.power_w, view.bound, view.share) == (0.0, None, "", 0.0)
    with pytest.raises(UnknownName, match="Did you mean 'layers.0.dense'"):
        prediction.node("layer.0.dense")


def test_worst_provenance_wins(prediction: Prediction) -> None:
    provenance = list(prediction.values.provenance)
    provenance[prediction.flat.nodes.index(prediction.tree.root.children[3])] = "fallback"
    changed = dataclasses.replace(prediction, values=dataclasses.replace(prediction.values, provenance=provenance))
    assert changed.node("shared").provenance == "fallback"


def test_frame(prediction: Prediction) -> None:
    frame = prediction.to_frame()
    assert len(frame) == len(prediction.flat)
    assert frame["energy_j"][0] == prediction.energy_j
    assert frame["path"].is_unique
    assert frame.loc[frame["kind"] == "primitive", "energy_j"].sum() == prediction.energy_j
    for row in frame.itertuples():
        assert prediction.node(row.path).energy_j == row.energy_j


def test_json_is_the_contract(prediction: Prediction) -> None:
    data = json.loads(json.dumps(prediction_to_json(prediction), allow_nan=False))
    assert list(data) == [
        "schema_version", "model", "workload", "device", "energy_j", "interval_j", "duration_s", "power_w",
        "provenance", "provenance_shares", "breakdown_j", "predictor", "notes", "tree",
    ]  # fmt: skip
    assert list(data["workload"]) == [
        "task", "batch_size", "seq_len", "decoder_seq_len", "dtype", "execution", "new_tokens",
    ]  # fmt: skip
    assert list(data["tree"]) == [
        "path", "name", "kind", "type", "calls", "flop", "traffic_bytes", "parameters", "duration_s", "energy_j",
        "interval_j", "isolated_energy_j", "breakdown_j", "share", "bound", "provenance", "children",
    ]  # fmt: skip
    assert data["predictor"] == {"name": "test", "version": "1", "trained_on": "nothing"}
    assert data["tree"]["energy_j"] == data["energy_j"]

    def check(node: dict[str, Any]) -> int:
        assert sum(node["breakdown_j"].values()) == pytest.approx(node["energy_j"])
        if node["children"]:
            assert sum(child["energy_j"] for child in node["children"]) == pytest.approx(node["energy_j"])
        return 1 + sum(check(child) for child in node["children"])

    assert check(data["tree"]) == len(prediction.flat)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"compute_j": 0.6}, "breakdown sums to"),
        ({"low_j": 1.1}, "low_j <= energy_j"),
        ({"high_j": 0.9}, "low_j <= energy_j"),
        ({"duration_s": np.nan}, "duration_s must be finite"),
        ({"flop": -1.0}, "flop must be finite and not negative"),
    ],
)
def test_values_that_cannot_be_are_refused(prediction: Prediction, changes: dict[str, float], words: str) -> None:
    wrong = {name: factor * prediction.values.energy_j for name, factor in changes.items()}
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(prediction.values, **wrong)


def test_wrong_words_and_lengths_are_refused(prediction: Prediction) -> None:
    values = prediction.values
    with pytest.raises(ValueError, match="guessed"):
        dataclasses.replace(values, provenance=["guessed"] * len(values.energy_j))
    with pytest.raises(ValueError, match="expected"):
        dataclasses.replace(values, flop=np.ones(3))
    cut = {f.name: getattr(values, f.name)[:5] for f in dataclasses.fields(values)}
    with pytest.raises(ValueError, match="nodes, but 5 values"):
        dataclasses.replace(prediction, values=dataclasses.replace(values, **cut))


def test_children_cannot_have_more_than_their_parent(prediction: Prediction) -> None:
    factor = np.ones(len(prediction.flat))
    factor[0] = 0.5
    names = [f.name for f in dataclasses.fields(prediction.values) if f.name not in ("provenance", "bound")]
    halved = {name: factor * getattr(prediction.values, name) for name in names}
    with pytest.raises(ValueError, match="more energy than the node itself"):
        dataclasses.replace(prediction, values=dataclasses.replace(prediction.values, **halved))


def test_a_prediction_cannot_be_written_into(prediction: Prediction) -> None:
    with pytest.raises(ValueError, match="read-only"):
        prediction.values.energy_j[0] = 0
    with pytest.raises(dataclasses.FrozenInstanceError):
        prediction.device = "other"  # type: ignore[misc]
