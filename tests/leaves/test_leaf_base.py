"""The physics under a leaf, before anything is learned."""

from __future__ import annotations

import pytest

from irene.hardware.roofline import roofline_s
from irene.hardware.spec import load_device
from irene.leaves.leaf_base import KERNEL_FLOOR_S, base_duration_s
from irene.leaves.leaf_table import make_table
from irene.primitives.attention import attention_backend
from irene.primitives.call import TensorSpec
from irene.primitives.work import count_work
from tests.predictor.made_law import attention, gelu, linear

SPEC = load_device("h200")


@pytest.mark.parametrize("call", [linear(4096, 4096, 4096), linear(8, 4096, 4096), gelu(4096, 4096)])
def test_a_roofline_and_a_floor(call: object) -> None:
    assert base_duration_s(call, "bfloat16", SPEC) == roofline_s(count_work(call), "bfloat16", SPEC) + KERNEL_FLOOR_S


def test_dtypes_have_their_own_peaks() -> None:
    call = linear(8192, 8192, 8192, "float32")
    assert base_duration_s(call, "float32", SPEC) > 5 * base_duration_s(call, "tf32", SPEC)


def test_attention_by_backend() -> None:
    """A mask whose rows are not contiguous forbids the fused kernels: plain math writes its scores to memory."""
    fused, plain = attention(1024), attention(1024, mask=TensorSpec((8, 12, 1024, 1024), (1, 8, 96, 98304), "bfloat16"))
    assert (attention_backend(fused), attention_backend(plain)) == ("cudnn", "math")
    assert base_duration_s(plain, "bfloat16", SPEC) > 5 * base_duration_s(fused, "bfloat16", SPEC)


def test_causal_attention_does_about_half() -> None:
    full, causal = (base_duration_s(attention(4096, causal=c), "bfloat16", SPEC) for c in (False, True))
    assert causal == pytest.approx(full / 2, rel=0.05)


def test_float32_attention_runs_on_the_vector_units_even_as_tf32() -> None:
    call = attention(2048, dtype="float32")
    assert base_duration_s(call, "float32", SPEC) == base_duration_s(call, "tf32", SPEC)


def test_the_base_does_not_know_whether_weights_are_cold() -> None:
    call = linear(8, 4096, 4096)
    table = make_table([call, call], ["bfloat16"] * 2, [False, True], SPEC)
    assert table.base_s[0] == table.base_s[1]
    assert table.cold.tolist() == [False, True]
