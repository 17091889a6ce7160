"""The shipped numbers are what they were: columns, primitives and wholes; and they add up."""

from __future__ import annotations

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.predictor.prediction import Prediction
from irene.predictor.predictor import Predictor
from irene.predictor.sweep_values import SweepValues
from irene.primitives.attention import attention_backend
from irene.primitives.kinds import kind_of
from tests.golden import computing
from tests.golden.tables import FOLDER, find_moves, load_tables, tell_moves

_PARTS = ("compute_j", "memory_j", "static_j", "launch_gap_j")


@pytest.fixture(scope="module")
def fitted() -> Predictor:
    return computing.load_shipped()


@pytest.fixture(scope="module")
def wholes(fitted: Predictor) -> dict[str, Prediction]:
    return computing.predict_wholes(fitted)


@pytest.fixture(scope="module")
def sweeps(fitted: Predictor) -> dict[str, SweepValues]:
    return computing.sweep_trees(fitted)


def test_columns() -> None:
    now = computing.compute_columns(computing.load_cases("column_calls.json"))
    moves = find_moves(load_tables(FOLDER / "columns.json"), now, near_zero=1e-9)  # logarithms of about one
    assert not moves, tell_moves(moves, "columns.json")


def test_primitives(fitted: Predictor) -> None:
    now = computing.compute_primitives(computing.load_cases("row_calls.json"), fitted)
    moves = find_moves(load_tables(FOLDER / "primitives.json"), now)
    assert not moves, tell_moves(moves, "primitives.json")


def test_wholes(fitted: Predictor, wholes: dict[str, Prediction], sweeps: dict[str, SweepValues]) -> None:
    now = computing.compute_wholes(fitted, wholes, sweeps)
    moves = find_moves(load_tables(FOLDER / "wholes.json"), now, near_zero=1e-12)
    assert not moves, tell_moves(moves, "wholes.json")


def test_calls_are_of_every_sort(fitted: Predictor) -> None:
    """What the files pin is only as good as what occurs in them."""
    cases = computing.load_cases("column_calls.json") + computing.load_cases("row_calls.json")
    table = computing.tabulate(cases)
    of_power = next(iter(load_tables(FOLDER / "columns.json")["power and stretch"].values()))
    pinned = {name.removeprefix("kind_") for name in of_power if name.startswith("kind_")}
    assert set(table.kinds) >= pinned, "not KINDS: a kind that no regressor has seen moves nothing"
    assert {"bfloat16", "float16", "float32", "tf32"} <= set(table.dtypes)
    attention = [case.call for case in cases if kind_of(case.call) == "attention"]
    assert {attention_backend(call) for call in attention} == {"cudnn", "flash", "efficient", "math"}
    of_regressor = load_tables(FOLDER / "columns.json")
    known = {name.removeprefix("time of ") for name in of_regressor if name.startswith("time of ")}
    assert known - {"collective"} == set(fitted.leaves.time)  # of exchanges there is no row yet


def test_moves_say_which_and_by_how_much() -> None:
    golden = {"t": {"a": {"x": 2.0, "y": "one"}, "b": {"x": 1.0, "y": "two"}}}
    assert find_moves(golden, {"t": {**golden["t"], "c": {"x": 0.0}}, "u": {}}) == []
    assert find_moves(golden, {"t": {"a": {"x": 2.0 + 1e-6, "y": "one"}, "b": {"x": 1.0, "y": "two"}}}) == []
    moved = {"t": {"a": {"x": 2.00001, "y": "other", "z": 1.0}}}
    assert find_moves(golden, moved) == [
        "t | a | y: one -> other", "t | b: is gone", "t | a | x: 2 -> 2.00001 (+0.0005 %)"
    ]  # fmt: skip
    assert find_moves({"t": {"a": {"x": 0.0}}}, {"t": {"a": {"x": float("nan")}}}, 1e-9) == ["t | a | x: 0.0 -> nan"]


def test_primitives_add_up(fitted: Predictor) -> None:
    spec = load_device(computing.DEVICE)
    for name, row in computing.compute_primitives(computing.load_cases("row_calls.json"), fitted)["primitives"].items():
        energy_j, power_w, duration_s = (float(row[column]) for column in ("energy_j", "power_w", "duration_s"))
        assert energy_j == pytest.approx(power_w * duration_s, rel=1e-9), name
        assert float(row["low_j"]) <= energy_j <= float(row["high_j"]), name
        assert power_w == 0 or spec.context_idle_power_w <= power_w <= spec.power_cap_w, name


def test_wholes_add_up(wholes: dict[str, Prediction]) -> None:
    """Children sum to parents with what a node runs itself; the account sums; energy is power times time."""
    for name, prediction in wholes.items():
        values, flat = prediction.values, prediction.flat
        is_inner = np.ones(len(flat), dtype=np.bool_)
        is_inner[flat.leaf_index] = False
        for column in ("energy_j", "duration_s", "flop", "traffic_bytes", *_PARTS):
            own = getattr(values, column)
            below = np.zeros(len(flat))
            np.add.at(below, flat.parent[1:], own[1:])
            np.testing.assert_allclose(
                below[is_inner], own[is_inner], rtol=1e-9, atol=1e-15, err_msg=f"{name} {column}"
            )
        account_j = sum(getattr(values, part) for part in _PARTS)
        np.testing.assert_allclose(account_j, values.energy_j, rtol=1e-9, atol=1e-15, err_msg=name)
        assert prediction.power_w is not None
        assert prediction.power_w * prediction.duration_s == pytest.approx(prediction.energy_j, rel=1e-9), name
        assert prediction.power_w <= load_device(computing.DEVICE).power_cap_w * (1 + 1e-9), name
        assert sum(prediction.provenance_shares.values()) == pytest.approx(1.0, rel=1e-9), name


def test_a_sweep_says_what_a_prediction_says(wholes: dict[str, Prediction], sweeps: dict[str, SweepValues]) -> None:
    for name, values in sweeps.items():
        root = wholes[name.removesuffix(" swept")]
        assert values.energy_j[0] == pytest.approx(root.energy_j, rel=1e-9), name
        assert values.duration_s[0] == pytest.approx(root.duration_s, rel=1e-9), name
        assert (values.low_j[0], values.high_j[0]) == pytest.approx(root.interval_j, rel=1e-9), name
        assert (values.bound[0], values.provenance[0]) == (root.bound, root.provenance), name
        for part, energy_j in root.breakdown_j.items():
            assert getattr(values, f"{part}_j")[0] == pytest.approx(energy_j, rel=1e-9, abs=1e-15), (name, part)
