"""The trace: slices nest in time as calls nest in the tree, and the power counter integrates to the energy."""

from __future__ import annotations

from typing import Any

import pytest

from irene.predictor.prediction import Prediction
from irene.reporting.trace_event import prediction_to_trace


def slices_of(trace: dict[str, Any]) -> list[dict[str, Any]]:
    return [event for event in trace["traceEvents"] if event["ph"] == "X"]


@pytest.fixture(params=["prediction", "bert", "captured"])
def case(request: pytest.FixtureRequest) -> Prediction:
    found: Prediction = request.getfixturevalue(request.param)
    return found


def test_children_lie_inside_their_parents(case: Prediction) -> None:
    slices = slices_of(prediction_to_trace(case))
    assert len(slices) == len(case.flat)
    for index, child in enumerate(slices[1:], start=1):
        parent = slices[case.flat.parent[index]]
        # Exact in whole nanoseconds: a viewer draws a child that ends late beside its parent.
        begin, end = (round(1e3 * at) for at in (child["ts"], child["ts"] + child["dur"]))
        assert round(1e3 * parent["ts"]) <= begin <= end <= round(1e3 * (parent["ts"] + parent["dur"]))


def test_leaves_follow_each_other_and_last_as_long_as_the_call(case: Prediction) -> None:
    slices = slices_of(prediction_to_trace(case))
    leaves = [slices[index] for index in case.flat.leaf_index]
    for before, after in zip(leaves, leaves[1:], strict=False):
        assert round(1e3 * (before["ts"] + before["dur"])) <= round(1e3 * after["ts"])
    assert slices[0]["dur"] == pytest.approx(1e6 * case.duration_s, abs=2e-3)
    assert [event["args"]["path"] for event in slices[:1]] == [""]
    assert sum(leaf["args"]["energy_j"] for leaf in leaves) == pytest.approx(case.energy_j)


@pytest.mark.parametrize("fixture", ["bert", "captured"])
def test_power_integrates_to_the_energy(fixture: str, request: pytest.FixtureRequest) -> None:
    case: Prediction = request.getfixturevalue(fixture)
    trace = prediction_to_trace(case)
    counter = [event for event in trace["traceEvents"] if event["ph"] == "C"]
    assert all(event["name"] == "power" and event["args"]["W"] >= 0 for event in counter)
    times = [event["ts"] for event in counter]
    assert times == sorted(times)
    held = zip(counter, counter[1:], strict=False)
    energy_j = sum(now["args"]["W"] * (then["ts"] - now["ts"]) * 1e-6 for now, then in held)
    assert energy_j == pytest.approx(case.energy_j, rel=1e-3)


def test_waiting_for_the_host_is_visible(bert: Prediction, captured: Prediction) -> None:
    def idle_s(case: Prediction) -> float:
        slices = slices_of(prediction_to_trace(case))
        return case.duration_s - 1e-6 * sum(slices[index]["dur"] for index in case.flat.leaf_index)

    assert idle_s(bert) == pytest.approx(bert.breakdown_j["launch_gap"] / 120, rel=1e-3)  # idle power of an H200: 120 W
    assert idle_s(captured) == pytest.approx(0.0, abs=1e-9)
