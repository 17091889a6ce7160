"""What lies in memory how: alignment, leading dimensions, copies that a product hides."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from irene.primitives.call import Call, TensorSpec
from irene.primitives.layouts import alignment_bytes, copied_bytes, leading_stride, product_operands


def dense(*shape: int, dtype: str = "bfloat16") -> TensorSpec:
    return TensorSpec(shape, tuple(math.prod(shape[i + 1 :]) for i in range(len(shape))), dtype)


def transposed(tensor: TensorSpec) -> TensorSpec:
    shape, stride = tensor.shape, tensor.stride
    return TensorSpec((*shape[:-2], shape[-1], shape[-2]), (*stride[:-2], stride[-1], stride[-2]), tensor.dtype)


@given(st.integers(1, 10**6))
def test_alignment_divides(size_bytes: int) -> None:
    aligned = alignment_bytes(size_bytes)
    assert size_bytes % aligned == 0 and aligned <= 16
    assert aligned == 16 or size_bytes % (2 * aligned)


def test_heads_of_a_fused_projection_are_copied_and_whole_ones_are_not() -> None:
    heads = TensorSpec((8, 12, 512, 64), (512 * 2304, 64, 2304, 1), "bfloat16")
    apart = dense(8, 12, 512, 64)
    call = Call("aten.matmul.default", (heads, transposed(apart)), (), (dense(8, 12, 512, 512),))
    assert copied_bytes(call) == 2 * heads.numel * 2
    assert copied_bytes(Call(call.op, (apart, transposed(apart)), (), call.outputs)) == 0
    assert copied_bytes(Call("aten.linear.default", (dense(8, 128, 768), dense(64, 768)))) == 0


def test_baddbmm_spreads_its_addend_first() -> None:
    bias, first, second = dense(120, 1, 541), dense(120, 541, 128), dense(120, 128, 541)
    call = Call("aten.baddbmm.default", (bias, first, second), (), (dense(120, 541, 541),))
    assert copied_bytes(call) == bias.bytes + 2 * call.outputs[0].bytes
    assert product_operands(call) == (first, second, bias)
    row = Call("aten.addmm.default", (dense(541), dense(64, 128), dense(128, 541)), (), (dense(64, 541),))
    assert copied_bytes(row) == 0  # part of the product's own kernel


def test_the_leading_stride_is_that_of_the_slower_dimension() -> None:
    assert leading_stride(dense(64, 541)) == leading_stride(transposed(dense(64, 541))) == 541
    assert leading_stride(TensorSpec((1, 768), (9999, 1), "float32")) == 1 or leading_stride(dense(1, 768)) == 1
