"""What is remembered between folds, or done for many tables at once, gives the numbers of one table alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.leaves import leaf_table
from irene.leaves.kernel_sets import REGRESSORS
from irene.leaves.leaf_table import LeafTable, join_tables, make_table, matrix_names
from irene.leaves.learners.ensemble import fit_ensemble
from irene.predictor.predictor import Predictor
from irene.primitives.call import Call
from tests.predictor.made_law import UNKNOWN, VIEW, attention, gelu, linear, tensor

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


@pytest.mark.parametrize("regressor", REGRESSORS)
def test_no_two_columns_have_one_name(regressor: str) -> None:
    """A saved regressor finds its columns by name, and is refused where one stands twice."""
    names = matrix_names(regressor)
    assert len(set(names)) == len(names)


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
    first = fit_ensemble(features, target, settings, 0.5, 0)
    assert fit_ensemble(features.copy(), target.copy(), settings, 0.5, 0) is first
    others = (
        (features + 1, settings, 0.5, 0), (features, {"n_estimators": 3}, 0.5, 0), (features, settings, 0.4, 0),
        (features, settings, 0.5, 1),
    )  # fmt: skip
    assert all(fit_ensemble(own, target, chosen, share, seed) is not first for own, chosen, share, seed in others)


def _convolution(channels: int, groups: int, taps: int, dims: int = 1) -> Call:
    x, out = (tensor((4, channels, *(size,) * dims)) for size in (64, 65 if taps % 2 == 0 else 64))
    weight = tensor((channels, channels // groups, *(taps,) * dims), weight=True)
    padding = (taps // 2,) * dims
    return Call(f"aten.conv{dims}d.default", (x, weight, None, (1,) * dims, padding, (1,) * dims, groups), (), (out,))


def test_convolutions_in_groups_along_time_have_a_regressor_of_their_own(shipped: Predictor) -> None:
    calls = [_convolution(64, 1, 3), _convolution(64, 8, 16), _convolution(64, 64, 4), _convolution(64, 8, 3, dims=2)]
    table = make_table(calls, ["bfloat16"] * 4, [False] * 4, shipped.spec)
    plain = "gemm-convolution"
    assert table.regressors == (plain, f"{plain}-in-groups", f"{plain}-depthwise", plain)


def test_where_too_few_groups_were_measured_other_convolutions_answer_for_them(shipped: Predictor) -> None:
    table = make_table([_convolution(768, 16, 128)], ["bfloat16"], [False], shipped.spec)
    few = {name: regressor for name, regressor in shipped.leaves.time.items() if name != "gemm-convolution-in-groups"}
    names = table.names_of("gemm-convolution")
    ratio = few["gemm-convolution"].predict(table.matrix("gemm-convolution", np.array([0])), names)
    answer_s = replace(shipped.leaves, time=few).predict_burst_s(table)
    assert answer_s == pytest.approx(table.base_s * np.exp(ratio)) and answer_s != pytest.approx(table.base_s)
