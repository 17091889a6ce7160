"""What `irene predict --format json` writes is read back as the same prediction; anything else is refused."""

from __future__ import annotations

import json
import random
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import irene
from irene.errors import BadInput, CannotWrite
from irene.predictor.prediction import Prediction
from irene.predictor.prediction_files import (
    is_prediction,
    load_prediction,
    prediction_from_json,
    prediction_to_json,
    save_prediction,
)


def test_round_trip(prediction: Prediction, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    save_prediction(prediction, path)
    assert is_prediction(json.loads(path.read_text()))
    again = load_prediction(path)
    for field in fields(prediction.values):
        old, new = getattr(prediction.values, field.name), getattr(again.values, field.name)
        assert np.array_equal(old, new), field.name
    assert prediction_to_json(again) == prediction_to_json(prediction)
    assert again.node("shared@1").energy_j == prediction.node("shared@1").energy_j


def test_where_nothing_can_be_written(prediction: Prediction, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="Cannot write .*p.json"):
        save_prediction(prediction, tmp_path / "file" / "p.json")


@pytest.mark.parametrize("name", ["albert-base-v2", "google-t5/t5-small"])
def test_round_trip_of_models(name: str) -> None:
    prediction = irene.predict(name, seq_len=16)
    again = prediction_from_json(json.loads(json.dumps(prediction_to_json(prediction))))
    assert prediction_to_json(again) == prediction_to_json(prediction)
    why, same = (irene.explain(p, depth=4) for p in (prediction, again))
    assert [p.label for p in why.layers] == [p.label for p in same.layers]
    assert sum(kind.energy_j for kind in same.kinds) == pytest.approx(prediction.energy_j)
    if name == "albert-base-v2":  # T5 copies empty tensors, which count as views when read again
        assert why.kinds == same.kinds


def change(data: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    return {**data, key: value}


def nest(node: dict[str, Any], levels: int) -> dict[str, Any]:
    """The node under so many modules of one child each, all of them of kind 'module' but the first."""
    inner = {**node, "kind": "module"}
    for _ in range(levels):
        inner = {**node, "kind": "module", "children": [inner]}
    return {**inner, "kind": "model"}


def test_whatever_stands_anywhere_is_refused_or_read(prediction: Prediction) -> None:
    text = json.dumps(prediction_to_json(prediction))
    refused = 0
    for seed in range(500):
        data = damage(json.loads(text), random.Random(seed))
        try:
            again = prediction_from_json(data)
        except BadInput as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 500
        else:
            json.dumps(prediction_to_json(again), allow_nan=False)
    assert refused > 400


def damage(data: Any, rng: random.Random) -> Any:
    """Another value at one place of the file."""
    spots: list[tuple[Any, Any]] = []
    stack = [data]
    while stack:
        value = stack.pop()
        keys = list(value) if isinstance(value, dict) else range(len(value))
        spots += [(value, key) for key in keys]
        stack += [value[key] for key in keys if isinstance(value[key], (dict, list))]
    where, key = rng.choice(spots)
    where[key] = rng.choice(
        [None, -1, 10**400, 1.5, "", "x", [], {}, [None], float("nan"), "\ud800", True, [[]], {"a": 1}]
    )
    return data


def test_anything_else_is_refused(prediction: Prediction, tmp_path: Path) -> None:
    data = prediction_to_json(prediction)
    broken = [
        (change(data, "schema_version", 2), "at schema_version, expected the version that this irene reads, 1, got 2"),
        ({k: v for k, v in data.items() if k != "tree"}, "at the top, expected a key 'tree'"),
        (change(data, "workload", {"batches": 1}), "at workload, expected a key 'batch_size', got the keys"),
        (
            change(data, "tree", {**data["tree"], "energy_j": -1.0}),
            "at tree.energy_j, expected a number of at least 0, got -1.0",
        ),
        (change(data, "tree", {**data["tree"], "breakdown_j": {}}), "at tree.breakdown_j, expected a key 'compute'"),
        (change(data, "tree", {**data["tree"], "energy_j": 1.0}), "breakdown sums to"),
        (
            change(data, "provenance_shares", {"guessed": 1.0}),
            "at provenance_shares, expected .*, got 'guessed'",
        ),
        (change(data, "energy_j", 2 * data["energy_j"]), "at energy_j, expected what follows from the tree"),
        (change(data, "interval_j", [5.0, 1.0]), "at interval_j, expected what follows from the tree"),
        (change(data, "model", "\ud800"), "at model, expected a text that UTF-8 can write"),
        (change(data, "tree", nest(data["tree"], 300)), "expected modules at most 200 deep"),
        ([], "expected an object"),
    ]
    for content, message in broken:
        with pytest.raises(BadInput, match=message):
            prediction_from_json(content)
    path = tmp_path / "p.json"
    with pytest.raises(BadInput, match="Cannot read"):
        load_prediction(path)
    path.write_text("{")
    with pytest.raises(BadInput, match="is not JSON"):
        load_prediction(path)
