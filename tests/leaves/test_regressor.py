"""Regressors name their columns: what a later irene adds moves no prediction, what lacks is said."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from irene.errors import BadInput
from irene.leaves import leaf_table
from irene.leaves.learners.survey_trees import fit_survey_trees
from irene.leaves.power import what_it_sees
from irene.leaves.regressor import Regressor, fit_regressor
from irene.predictor.bundle import load_bundle, shipped_bundle
from irene.primitives.kinds import KINDS
from tests.predictor.made_law import gelu, linear

TREES = {"n_estimators": 20, "max_depth": 3}
NAMES = ("size", "never", "kind")


def _rows(count: int = 60) -> np.ndarray:
    draw = np.random.default_rng(0)
    return np.column_stack([draw.normal(size=count), np.zeros(count), draw.integers(0, 2, count)])


@pytest.fixture(scope="module")
def fitted() -> Regressor:
    rows = _rows()
    return fit_regressor(rows, NAMES, rows[:, 0] + rows[:, 2], TREES, 0.5)


def test_what_was_never_seen_is_no_column(fitted: Regressor) -> None:
    assert fitted.names == ("size", "kind")


def test_columns_are_found_by_name_in_any_order(fitted: Regressor) -> None:
    rows = _rows(9)
    moved = np.column_stack([np.full(9, 7.0), rows[:, 2], rows[:, 0]])
    expected = fitted.ensemble.predict(rows[:, [0, 2]])
    np.testing.assert_array_equal(fitted.predict(moved, ("added", "kind", "size")), expected)
    np.testing.assert_array_equal(fitted.predict(rows, NAMES), expected)


def test_a_column_that_lacks_is_named(fitted: Regressor) -> None:
    with pytest.raises(BadInput, match="not computed here: kind"):
        fitted.predict(_rows(3), ("size", "never", "other"))


def test_what_a_prior_sees_is_kept_though_it_never_varies_here() -> None:
    rows = _rows(200)
    rows[:, 1] = np.linspace(0, 1, 200)
    prior = fit_survey_trees(rows.astype(np.float32), np.zeros(200, np.float32), rows[:, 1].astype(np.float32))
    few = rows[:40].copy()
    few[:, 1] = 0.9
    regressor = fit_regressor(few, NAMES, few[:, 0] + few[:, 1], TREES, 0.5, prior=prior)
    assert regressor.names == NAMES
    own = regressor.ensemble.prior
    assert own is not None
    np.testing.assert_array_equal(own.predict(few), prior.predict(few))


@pytest.fixture
def later_irene(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An irene that knows one kind and one operator more, before all others."""
    caches = (leaf_table.matrix_names, leaf_table._known_rows, leaf_table._operator_features, what_it_sees.power_names)
    for module in (leaf_table, what_it_sees):
        monkeypatch.setattr(module, "KINDS", ("quantise", *KINDS))
    monkeypatch.setattr(leaf_table, "_OPERATORS", ("_scaled_mm", *leaf_table._OPERATORS))
    for cache in caches:
        cache.cache_clear()
    yield
    monkeypatch.undo()
    for cache in caches:
        cache.cache_clear()


def _price() -> np.ndarray:
    fitted = load_bundle(shipped_bundle("h200"))
    calls = [linear(1024, 768, 3072), gelu(1024, 3072)]
    values = fitted.leaves.predict(leaf_table.make_table(calls, ["bfloat16"] * 2, [False] * 2, fitted.spec))
    return np.stack([values.duration_s, values.power_w])


@pytest.fixture(scope="module")
def before() -> np.ndarray:
    return _price()


@pytest.mark.usefixtures("before", "later_irene")  # in this order
def test_a_kind_more_leaves_the_shipped_bundle_loadable_and_its_predictions_equal(before: np.ndarray) -> None:
    assert "kind_quantise" in leaf_table.matrix_names("gemm-half") and "kind_quantise" in what_it_sees.power_names()
    np.testing.assert_array_equal(_price(), before)
