"""NumPy and XGBoost give one answer, and arrays that are no trees are refused before anything walks them."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from irene.leaves.learners import boosted_trees
from irene.leaves.learners.boosted_trees import BoostedTrees, trees_of
from irene.leaves.learners.tree_files import trees_from_arrays, trees_to_arrays


def fit(rows: int = 300, columns: int = 5, trees: int = 30, depth: int = 4, seed: int = 0) -> xgboost.Booster:
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(rows, columns)).round(1)
    features[draw.random(features.shape) < 0.1] = np.nan
    target = np.nansum(features, axis=1) + draw.normal(size=rows)
    settings = {"n_estimators": trees, "max_depth": depth, "tree_method": "hist", "n_jobs": 1, "random_state": seed}
    return xgboost.XGBRegressor(**settings).fit(features, target).get_booster()


@pytest.fixture(scope="module")
def booster() -> xgboost.Booster:
    return fit()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 99), columns=st.integers(1, 6), trees=st.integers(1, 40), depth=st.integers(1, 7))
def test_numpy_gives_the_answer_of_xgboost_to_the_bit(seed: int, columns: int, trees: int, depth: int) -> None:
    booster = fit(100, columns, trees, depth, seed)
    asked = np.random.default_rng(seed + 1).normal(size=(37, columns)).round(1)
    asked[::5, 0] = np.nan
    own = trees_of(booster)
    for rows in (37, 1, 0):
        expected = np.asarray(booster.inplace_predict(asked[:rows]), dtype=np.float64) if rows else np.empty(0)
        np.testing.assert_array_equal(own.predict(asked[:rows]), expected)


def test_a_large_table_is_answered_by_xgboost_with_the_same_bits(
    booster: xgboost.Booster, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = np.random.default_rng(1).normal(size=(200, 5))
    by_numpy = trees_of(booster).predict(asked)
    monkeypatch.setattr(boosted_trees, "_MOST_VISITS", 0)
    again = trees_of(booster)
    assert not again._booster
    np.testing.assert_array_equal(again.predict(asked), by_numpy)
    assert again._booster


def test_arrays_of_a_file_and_pickles_give_the_same_trees(booster: xgboost.Booster) -> None:
    own = trees_of(booster)
    for copy in (trees_from_arrays(trees_to_arrays(own)), pickle.loads(pickle.dumps(own))):
        for name in ("sizes", "column", "value", "missing_left"):
            np.testing.assert_array_equal(getattr(copy, name), getattr(own, name))
        assert (copy.base, copy.columns) == (own.base, own.columns)


def _ask_in_child(trees: BoostedTrees, asked: Any, answers: Any) -> None:
    answers.put(trees.predict(asked))


@pytest.mark.parametrize("most_visits", [0, 10**9], ids=["xgboost", "numpy"])
def test_a_forked_child_answers(booster: xgboost.Booster, monkeypatch: pytest.MonkeyPatch, most_visits: int) -> None:
    monkeypatch.setattr(boosted_trees, "_MOST_VISITS", most_visits)
    own = trees_of(booster)
    asked = np.random.default_rng(1).normal(size=(2000, 5))
    expected = own.predict(asked)  # with the parent's threads, which a child does not have
    fork = multiprocessing.get_context("fork")
    answers = fork.Queue()
    child = fork.Process(target=_ask_in_child, args=(own, asked, answers), daemon=True)
    child.start()
    try:
        np.testing.assert_array_equal(answers.get(timeout=30), expected)
    finally:
        child.kill()


def _stump(**changed: Any) -> BoostedTrees:
    arrays: dict[str, Any] = {
        "sizes": np.array([3], np.int32), "column": np.array([0, -1, -1], np.int16),
        "value": np.array([0.5, 1.0, 2.0], np.float32), "missing_left": np.zeros(3, np.bool_), "base": 0.0,
        "columns": 1,
    }  # fmt: skip
    return BoostedTrees(**{**arrays, **changed})


def test_a_stump_by_hand() -> None:
    assert _stump().predict(np.array([[0.4], [0.5], [np.nan]])).tolist() == [1.0, 2.0, 2.0]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"column": np.array([1, -1, -1], np.int16)}, "none of the 1 columns"),
        ({"column": np.array([-2, -1, -1], np.int16)}, "none of the 1 columns"),
        ({"column": np.array([-1, 0, -1], np.int16)}, "behind its children"),
        ({"column": np.array([0, 0, -1], np.int16)}, "one leaf more"),
        ({"sizes": np.array([2, 1], np.int32)}, "one leaf more"),
        ({"sizes": np.array([5], np.int32)}, "add up"),
        ({"sizes": np.array([3, 0], np.int32)}, "add up"),
        ({"sizes": np.array([], np.int32)}, "types or shapes"),
        ({"value": np.array([0.5, np.inf, 2.0], np.float32)}, "not finite"),
        ({"value": np.array([0.5, 1.0], np.float32)}, "add up"),
        ({"value": np.array([0.5, 1.0, 2.0])}, "types or shapes"),
        ({"base": float("nan")}, "base"),
    ],
)
def test_arrays_that_are_no_trees_are_refused(changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        _stump(**changed)


def test_a_chain_that_would_take_for_ever_is_refused() -> None:
    splits = 100  # each has a leaf on its left
    column = np.array([0, *[-1, 0] * (splits - 1), -1, -1], np.int16)
    nodes = len(column)
    with pytest.raises(ValueError, match="levels"):
        _stump(
            sizes=np.array([nodes], np.int32), column=column, value=np.ones(nodes, np.float32),
            missing_left=np.zeros(nodes, np.bool_),
        )  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a | {"cut": a["cut"] + np.uint32(10_000)},
        lambda a: a | {"leaf": a["leaf"][:-1]},
        lambda a: a | {"is_split": ~a["is_split"]},
        lambda a: a | {"cut_at": a["cut_at"][:-1]},
        lambda a: {name: array for name, array in a.items() if name != "base"},
        lambda a: a | {"sizes": a["sizes"].astype(np.int64)},
        lambda a: a | {"columns": np.int32(1)},
    ],
)
def test_arrays_of_a_file_that_do_not_fit_are_refused(
    booster: xgboost.Booster, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    with pytest.raises(ValueError, match="."):
        trees_from_arrays(change(trees_to_arrays(trees_of(booster))))


def test_rows_of_another_width_are_refused(booster: xgboost.Booster) -> None:
    with pytest.raises(ValueError, match="5 columns"):
        trees_of(booster).predict(np.zeros((2, 4)))
