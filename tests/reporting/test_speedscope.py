"""The flame graph obeys speedscope's published rules, and its widths are the joules of the tree."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest

from irene.predictor.prediction import Prediction
from irene.reporting.speedscope import prediction_to_speedscope

UNITS = {"none", "nanoseconds", "microseconds", "milliseconds", "seconds", "bytes"}


def require_valid(data: dict[str, Any]) -> None:
    """The rules of speedscope's file-format-spec.ts (version 1.x) for a file of sampled profiles."""
    assert data["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert set(data) <= {"$schema", "shared", "profiles", "name", "activeProfileIndex", "exporter"}
    frames = data["shared"]["frames"]
    assert set(data["shared"]) == {"frames"}
    for frame in frames:
        assert set(frame) <= {"name", "file", "line", "col"}
        assert isinstance(frame["name"], str) and frame["name"]
    assert 0 <= data.get("activeProfileIndex", 0) < len(data["profiles"])
    for profile in data["profiles"]:
        assert set(profile) == {"type", "name", "unit", "startValue", "endValue", "samples", "weights"}
        assert profile["type"] == "sampled"
        assert profile["unit"] in UNITS
        assert profile["endValue"] >= profile["startValue"]
        assert len(profile["samples"]) == len(profile["weights"])
        assert all(weight >= 0 for weight in profile["weights"])
        assert all(0 <= index < len(frames) for stack in profile["samples"] for index in stack)


@pytest.mark.parametrize("fixture", ["prediction", "bert", "captured"])
def test_valid_and_complete(fixture: str, request: pytest.FixtureRequest) -> None:
    case: Prediction = request.getfixturevalue(fixture)
    data = prediction_to_speedscope(case)
    require_valid(data)
    (profile,) = data["profiles"]
    assert sum(profile["weights"]) == pytest.approx(1e6 * case.energy_j)
    assert profile["endValue"] == pytest.approx(1e6 * case.energy_j)
    assert len({tuple(sorted(frame.items())) for frame in data["shared"]["frames"]}) == len(data["shared"]["frames"])


def test_the_width_of_a_module_is_its_energy(bert: Prediction) -> None:
    data = prediction_to_speedscope(bert)
    joules: dict[str, float] = defaultdict(float)
    (profile,) = data["profiles"]
    for stack, weight in zip(profile["samples"], profile["weights"], strict=True):
        for name in {data["shared"]["frames"][index]["name"] for index in stack}:
            joules[name] += 1e-6 * weight
    for path in ("encoder", "encoder.layer.7", "encoder.layer.7.attention.self.query", "pooler"):
        assert joules[path] == pytest.approx(bert.node(path).energy_j)
    assert joules["BertModel"] == pytest.approx(bert.energy_j)
