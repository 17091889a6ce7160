"""What `irene predict --format json` writes is read back as the same prediction; anything else is refused."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import irene
from irene.errors import BadInput
from irene.predictor.prediction import Prediction
from irene.predictor.saved_prediction import is_saved_prediction, load_prediction, prediction_from_json


def test_round_trip(prediction: Prediction, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(prediction.to_json()))
    assert is_saved_prediction(path)
    again = load_prediction(path)
    for field in fields(prediction.values):
        old, new = getattr(prediction.values, field.name), getattr(again.values, field.name)
        assert np.array_equal(old, new), field.name
    assert again.to_json() == prediction.to_json()
    assert again.node("shared@1").energy_j == prediction.node("shared@1").energy_j


@pytest.mark.parametrize("name", ["albert-base-v2", "google-t5/t5-small"])
def test_round_trip_of_models(name: str) -> None:
    prediction = irene.predict(name, seq_len=16)
    again = prediction_from_json(json.loads(json.dumps(prediction.to_json())))
    assert again.to_json() == prediction.to_json()
    why, same = (irene.explain(p, depth=4) for p in (prediction, again))
    assert [p.label for p in why.layers] == [p.label for p in same.layers]
    assert sum(kind.energy_j for kind in same.kinds) == pytest.approx(prediction.energy_j)
    if name == "albert-base-v2":  # T5 copies empty tensors, which count as views when read again
        assert why.kinds == same.kinds


def change(data: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    return {**data, key: value}


def test_anything_else_is_refused(prediction: Prediction, tmp_path: Path) -> None:
    data = prediction.to_json()
    broken = [
        (change(data, "schema_version", 2), "schema_version is 2"),
        ({k: v for k, v in data.items() if k != "tree"}, "keys missing: tree"),
        (change(data, "workload", {"batches": 1}), "TypeError"),
        (change(data, "tree", {**data["tree"], "energy_j": -1.0}), "finite and not negative"),
        (change(data, "tree", {**data["tree"], "breakdown_j": {}}), "KeyError"),
        ([], "expected an object"),
    ]
    for content, message in broken:
        with pytest.raises(BadInput, match=message):
            prediction_from_json(content)
    path = tmp_path / "p.json"
    with pytest.raises(BadInput, match="Cannot read"):
        load_prediction(path)
    path.write_text("{")
    assert not is_saved_prediction(path)
    with pytest.raises(BadInput, match="is not JSON"):
        load_prediction(path)
