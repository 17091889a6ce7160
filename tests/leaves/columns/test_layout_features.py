"""Columns of layout: one a name, finite, and different where a kernel would be."""

from __future__ import annotations

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.leaves.columns.layout_features import (
    ATTENTION_LAYOUT,
    PRODUCT_LAYOUT,
    attention_layout,
    product_layout,
)
from irene.leaves.columns.pass_layout import PASS_LAYOUT, pass_layout
from irene.leaves.kernel_sets import REGRESSORS
from irene.leaves.leaf_table import make_table, matrix_names
from irene.primitives.call import Call, TensorSpec
from tests.predictor.made_law import attention, gelu, linear, tensor

SPEC = load_device("h200")
COLUMNS = {product_layout: PRODUCT_LAYOUT, attention_layout: ATTENTION_LAYOUT, pass_layout: PASS_LAYOUT}


def columns_of(make: object, call: Call, base_s: float = 1e-5) -> dict[str, float]:
    matrix = make([call], ["bfloat16"], np.array([base_s]), SPEC)  # type: ignore[operator]
    names = COLUMNS[make]  # type: ignore[index]
    assert matrix.shape == (1, len(names)) and np.isfinite(matrix).all()
    return dict(zip(names, matrix[0].tolist(), strict=True))


def convolution(width: int, kernel: int, stride: int) -> Call:
    x, weight = tensor((4, 80, width)), tensor((512, 80, kernel), weight=True)
    out = tensor((4, 512, width // stride))
    return Call("aten.conv1d.default", (x, weight, None, (stride,), (1,)), (), (out,))


def test_an_odd_width_is_badly_aligned() -> None:
    odd, even = (columns_of(product_layout, linear(64, n, n)) for n in (541, 544))
    assert odd["log2_aligned_least"] == 1.0  # two bytes: an element of bfloat16
    assert even["log2_aligned_least"] == 4.0


def test_a_convolution_tells_its_window_and_a_product_has_none() -> None:
    strided, plain = (columns_of(product_layout, convolution(3000, 3, stride)) for stride in (2, 1))
    assert (strided["log2_positions_ratio"], plain["log2_positions_ratio"]) == (1.0, 0.0)
    assert strided["log2_taps"] == pytest.approx(np.log2(3)) and strided["spatial_dims"] == 1.0
    assert columns_of(product_layout, linear(64, 544, 544))["spatial_dims"] == 0.0


def test_a_dense_tensor_is_one_loop_even_if_it_lies_across() -> None:
    across = TensorSpec((20, 1500, 3072), (3072 * 1500, 1, 1500), "bfloat16")
    alike = Call("aten.gelu.default", (across,), (), (across,))
    copied = Call("aten.gelu.default", (across,), (), (tensor((20, 1500, 3072)),))
    assert columns_of(pass_layout, alike)["is_one_loop"] == 1.0
    seen = columns_of(pass_layout, copied)
    assert (seen["is_one_loop"], seen["loops"], seen["other_strides"]) == (0.0, 3.0, 1.0)
    assert columns_of(pass_layout, gelu(7, 1500))["is_one_loop"] == 1.0


def test_a_sum_over_the_last_dimension_is_inner() -> None:
    x, out = tensor((8, 512, 64)), tensor((8, 512, 1))
    inner = Call("aten.mean.dim", (x, (-1,), True), (), (out,))
    outer = Call("aten.mean.dim", (x, (1,), True), (), (tensor((8, 1, 64)),))
    assert columns_of(pass_layout, inner)["is_inner_reduced"] == 1.0
    assert columns_of(pass_layout, outer)["is_inner_reduced"] == 0.0


def test_counts_are_rates_over_the_base() -> None:
    slow, fast = (columns_of(pass_layout, gelu(64, 1024), base_s) for base_s in (2e-5, 1e-5))
    assert fast["log2_elements_rate"] - slow["log2_elements_rate"] == 1.0


def test_a_mask_by_sample_is_told_from_one_for_all() -> None:
    shared, own = (tensor((batch, 1, 66, 66)) for batch in (1, 8))
    assert columns_of(attention_layout, attention(66, mask=shared))["is_mask_by_sample"] == 0.0
    seen = columns_of(attention_layout, attention(66, mask=own))
    assert (seen["is_mask_by_sample"], seen["is_mask_by_head"], seen["log2_aligned_mask"]) == (1.0, 0.0, 2.0)
    assert columns_of(attention_layout, attention(66))["log2_mask_bytes"] == 0.0


def test_every_call_has_a_regressor_whose_columns_have_names() -> None:
    scalar = TensorSpec((), (), "float32")
    odd = [
        Call("aten.add.Tensor", (scalar, scalar), (), (scalar,)),
        Call("aten.sum.default", (tensor((0, 4)),), (), (scalar,)),
        Call("aten.zeros.default", ((2, 3),), (), (tensor((2, 3)),)),
        Call("aten.mv.default", (tensor((64, 32)), tensor((32,))), (), (tensor((64,)),)),
        convolution(3000, 3, 2),
        attention(16, dtype="float32"),
    ]
    calls = [*odd, linear(8, 8, 8), linear(8, 8, 8, "float32"), linear(8, 8, 8, "float32")]
    dtypes = ["bfloat16"] * (len(calls) - 2) + ["float32", "tf32"]
    table = make_table(calls, dtypes, [False] * len(calls), SPEC)
    for index, name in enumerate(table.regressors):
        assert name in REGRESSORS
        row = table.matrix(name, np.array([index]))
        assert row.shape == (1, len(matrix_names(name))) and np.isfinite(row).all(), calls[index].op
    assert table.regressors[-3:] == ("gemm-half", "gemm-single", "gemm-tf32")


def test_a_join_of_what_has_gaps_or_is_empty_is_told_from_a_dense_one() -> None:
    def join(length: int, *strides: int) -> float:
        cache, token = tensor((8, 4, length, 64)), TensorSpec((8, 4, 1, 64), strides, "bfloat16")
        out = tensor((8, 4, length + 1, 64))
        return columns_of(pass_layout, Call("aten.cat.default", ((cache, token), -2), (), (out,)))["is_indexed_join"]

    assert join(100, 256, 64, 64, 1) == join(100, 256, 64, 256, 1) == 0  # a dimension of one lies densely anyhow
    assert join(100, 768, 192, 192, 1) == join(0, 256, 64, 64, 1) == 1  # a third of a fused product; an empty cache
