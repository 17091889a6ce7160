"""What is remembered between folds, or done for many tables at once, gives the numbers of one table alone."""

from __future__ import annotations

import numpy as np
import pytest

from irene.hardware.spec import load_device
from irene.predictor import leaf_table
from irene.predictor.blend import fit_blend
from irene.predictor.leaf_table import LeafTable, join_tables, make_table
from irene.predictor.predictor import Predictor
from tests.predictor.made_law import UNKNOWN, VIEW, attention, gelu, linear

SPEC = load_device("h200")


def table_of(first: int) -> LeafTable:
    calls = [linear(64 + first, 128, 256), gelu(8, 64), attention(32 + first), VIEW, UNKNOWN, linear(8, 64, 32)]
    return make_table(calls, ["bfloat16"] * 6, [True, False, False, False, False, False], SPEC)


@pytest.mark.parametrize("regressor", ["gemm-half", "attention-fused", "vector-pointwise"])
def test_remembered_rows_are_those_computed(regressor: str) -> None:
    table = table_of(0)
    members = np.flatnonzero(np.array(table.regressors) == regressor)
    computed = table.compute_matrix(regressor, members)
    assert len(members) >= 1
    for _ in range(2):  # the second time from memory, in another order
        np.testing.assert_array_equal(table.matrix(regressor, members), computed)
        np.testing.assert_array_equal(table.matrix(regressor, members[::-1]), computed[::-1])
    assert table.matrix(regressor, members[:0]).shape == (0, computed.shape[1])


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf_table, "_MOST_KNOWN_ROWS", 2)
    for first in range(4):
        members = np.array([0, 5])
        np.testing.assert_array_equal(
            table_of(first).matrix("gemm-half", members), table_of(first).compute_matrix("gemm-half", members)
        )
        assert len(leaf_table._known_rows("gemm-half", SPEC)) <= 2


def test_tables_predicted_together_are_predicted_alone(fitted: Predictor) -> None:
    tables = [table_of(first) for first in (0, 1, 2)]
    together = fitted.leaves.predict(join_tables(tables)).split(np.array([6, 12]))
    for table, values in zip(tables, together, strict=True):
        alone = fitted.leaves.predict(table)
        for name in ("duration_s", "power_w", "slowing", "energy_j"):
            # Matrix products of other shapes add in another order.
            np.testing.assert_allclose(getattr(values, name), getattr(alone, name), rtol=1e-12)


def test_the_same_numbers_are_fitted_once() -> None:
    features, target = np.arange(40.0).reshape(20, 2), np.arange(20.0)
    settings = {"n_estimators": 2}
    first = fit_blend(features, target, settings, 0.5, 0)
    assert fit_blend(features.copy(), target.copy(), settings, 0.5, 0) is first
    others = (
        (features + 1, settings, 0.5, 0), (features, {"n_estimators": 3}, 0.5, 0), (features, settings, 0.4, 0),
        (features, settings, 0.5, 1),
    )  # fmt: skip
    assert all(fit_blend(own, target, chosen, share, seed) is not first for own, chosen, share, seed in others)
