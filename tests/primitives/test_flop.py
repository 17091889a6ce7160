"""FLOP against torch's own counter, running the same operators."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from irene.errors import BadInput
from irene.primitives import (
    Call,
    TensorSpec,
    count_executed_flop,
    count_flop,
    count_matmul_flop,
    gemm_shape,
    register_flop,
)

SDPA = "aten.scaled_dot_product_attention.default"


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(*shape)


PRODUCTS = {
    "linear": ("aten.linear.default", rand(2, 3, 8), rand(5, 8), rand(5)),
    "linear without bias": ("aten.linear.default", rand(2, 8), rand(5, 8)),
    "linear of a vector": ("aten.linear.default", rand(8), rand(5, 8)),
    "mm": ("aten.mm.default", rand(4, 8), rand(8, 5)),
    "mm transposed": ("aten.mm.default", rand(4, 8), rand(5, 8).t()),
    "addmm": ("aten.addmm.default", rand(5), rand(4, 8), rand(8, 5)),
    "bmm": ("aten.bmm.default", rand(3, 4, 8), rand(3, 8, 5)),
    "baddbmm": ("aten.baddbmm.default", rand(3, 4, 5), rand(3, 4, 8), rand(3, 8, 5)),
    "matmul 4-D": ("aten.matmul.default", rand(2, 3, 4, 8), rand(2, 3, 8, 5)),
    "matmul folded": ("aten.matmul.default", rand(2, 3, 4, 8), rand(8, 5)),
    "matmul broadcast": ("aten.matmul.default", rand(1, 4, 8), rand(6, 8, 5)),
    "matmul outer": ("aten.matmul.default", rand(1, 16, 1), rand(1, 1, 7)),
    "conv1d": ("aten.conv1d.default", rand(2, 3, 20), rand(6, 3, 5), rand(6), [2], [2]),
    "conv2d": ("aten.conv2d.default", rand(2, 3, 16, 16), rand(6, 3, 4, 4), rand(6), [4, 4]),
    "conv2d unbatched": ("aten.conv2d.default", rand(3, 16, 16), rand(6, 3, 4, 4)),
    "conv2d depthwise": ("aten.conv2d.default", rand(2, 6, 9, 9), rand(6, 1, 3, 3), None, [1, 1], [1, 1], [1, 1], 6),
    "conv2d grouped": ("aten.conv2d.default", rand(2, 6, 9, 9), rand(4, 3, 3, 3), None, [1, 1], [0, 0], [1, 1], 2),
    "convolution": ("aten.convolution.default", rand(2, 3, 9), rand(6, 3, 3), None, [1], [0], [1], False, [0], 1),
    "convolution, transposed": (
        "aten.convolution.default", rand(2, 3, 9), rand(3, 6, 3), None, [2], [0], [1], True, [0], 1,
    ),
    "conv_transpose2d": ("aten.conv_transpose2d.input", rand(2, 3, 5, 5), rand(3, 6, 2, 2), None, [2, 2]),
    "einsum product": ("aten.einsum.default", "bij,bjk->bik", [rand(2, 3, 4), rand(2, 4, 5)]),
    "einsum outer": ("aten.einsum.default", "i,j->ij", [rand(6), rand(5)]),
    "einsum sum of one": ("aten.einsum.default", "ij,k->ik", [rand(3, 4), rand(5)]),
    "einsum implicit": ("aten.einsum.default", "ij,jk", [rand(3, 4), rand(4, 5)]),
    "einsum heads": ("aten.einsum.default", "bhqd,bhkd->bhqk", [rand(2, 3, 4, 8), rand(2, 3, 5, 8)]),
    "einsum ellipsis": ("aten.einsum.default", "...ij,jk->...ik", [rand(2, 3, 4), rand(4, 5)]),
    "einsum sum first": ("aten.einsum.default", "ij,jk->k", [rand(3, 4), rand(4, 5)]),
    "einsum of three": ("aten.einsum.default", "ij,jk,kl->il", [rand(3, 4), rand(4, 5), rand(5, 6)]),
    "einsum permutation": ("aten.einsum.default", "ij->ji", [rand(3, 4)]),
    "tensordot": ("aten.tensordot.default", rand(2, 3, 4), rand(3, 4, 5), [1, 2], [0, 1]),
    "attention": (SDPA, rand(2, 4, 6, 8), rand(2, 4, 10, 8), rand(2, 4, 10, 8)),
    "attention, causal": (SDPA, rand(2, 4, 6, 8), rand(2, 4, 6, 8), rand(2, 4, 6, 8), None, 0.0, True),
    "attention, masked": (SDPA, rand(2, 4, 6, 8), rand(2, 4, 10, 8), rand(2, 4, 10, 8), rand(2, 1, 6, 10)),
    "attention, other value size": (SDPA, rand(2, 4, 6, 8), rand(2, 4, 10, 8), rand(2, 4, 10, 16)),
    "attention, 3-D": (SDPA, rand(4, 6, 8), rand(4, 10, 8), rand(4, 10, 8)),
}  # fmt: skip


@pytest.mark.parametrize("name", PRODUCTS)
def test_matrix_products_are_counted_as_torch_counts_them(name, counted):
    call, expected = counted(*PRODUCTS[name])
    assert count_matmul_flop(call) == expected
    assert expected > 0 or name in ("einsum permutation", "einsum outer", "einsum sum of one")
    if "einsum" not in name:
        assert count_flop(call) == expected


def test_bilinear_has_two_contractions(counted):
    call, expected = counted("aten.bilinear.default", rand(2, 7, 3), rand(2, 7, 4), rand(5, 3, 4), None)
    assert count_matmul_flop(call) == 2 * 14 * (3 * 4 * 5 + 4 * 5)
    assert expected <= count_matmul_flop(call)  # torch's counter knows none of it


def test_complex_products_are_four_real_ones(counted):
    """Torch's counter takes a complex product for one real one."""
    a, b = torch.rand(4, 8, dtype=torch.complex64), torch.rand(8, 5, dtype=torch.complex64)
    for op, args in (("aten.mm.default", (a, b)), ("aten.einsum.default", ("ij,jk->ik", [a, b]))):
        call, as_one = counted(op, *args)
        assert count_flop(call) == 4 * as_one == 8 * 4 * 8 * 5
    product, _ = counted("aten.mul.Tensor", a, a)
    total, _ = counted("aten.add.Tensor", a, a)
    assert (count_flop(product), count_flop(total)) == (6 * 32, 2 * 32)


def test_bags_of_rows_are_summed(counted):
    call, _ = counted("aten.embedding_bag.default", rand(10, 4), torch.zeros(6, dtype=torch.long), torch.tensor([0, 3]))
    assert count_flop(call) == 6 * 4


def test_grouped_query_attention_repeats_keys(counted):
    call, expected = counted(SDPA, rand(2, 8, 6, 4), rand(2, 2, 10, 4), rand(2, 2, 10, 4), enable_gqa=True)
    assert count_matmul_flop(call) == expected > 0


@pytest.mark.parametrize("op", ["aten._grouped_mm.default", "transformers.grouped_mm_fallback.default"])
def test_grouped_product_is_the_sum_of_its_experts(op, spec, counted):
    rows, experts, k, n = (5, 0, 3, 4), 4, 8, 16
    expected = sum(counted("aten.mm.default", rand(r, k), rand(k, n))[1] for r in rows)
    offsets = spec(experts, dtype="int32")
    call = Call(op, (spec(sum(rows), k), spec(experts, k, n)), (("offs", offsets),), (spec(sum(rows), n),))
    assert count_matmul_flop(call) == expected > 0


def test_bert_base_8x128(spec, linear):
    """The check of the design: matmul family of one forward pass."""
    q = spec(8, 12, 128, 64)
    attention = Call(SDPA, (q, q, q), (), (q,))
    layer = [linear(1024, 768, 768)] * 4 + [linear(1024, 768, 3072), linear(1024, 3072, 768), attention]
    assert sum(count_matmul_flop(c) for c in layer * 12 + [linear(8, 768, 768)]) == 178_787_450_880


@given(batch=st.integers(1, 64), length=st.integers(1, 512), k=st.integers(1, 4096), n=st.integers(1, 4096))
def test_doubling_the_batch_doubles_the_flop_of_linear(batch, length, k, n):
    def call(b: int) -> Call:
        x, w = TensorSpec((b, length, k), (length * k, k, 1), "float32"), TensorSpec((n, k), (k, 1), "float32")
        return Call("aten.linear.default", (x, w))

    assert count_flop(call(2 * batch)) == 2 * count_flop(call(batch)) == 4 * batch * length * k * n


def test_causal_attention_executes_the_lower_triangle(spec):
    for q_len, kv_len in ((6, 6), (4, 9), (9, 4), (1, 5)):
        q, k = spec(2, 3, q_len, 8), spec(2, 3, kv_len, 8)
        call = Call(SDPA, (q, k, k, None, 0.0, True), (), (q,))
        pairs = int(torch.ones(q_len, kv_len).tril().sum())
        assert count_executed_flop(call) == 2 * 2 * 3 * pairs * (8 + 8)
        full = Call(SDPA, (q, k, k), (("is_causal", False),), (q,))
        assert count_executed_flop(full) == count_flop(full) == count_flop(call)


def test_gemm_shape_sees_layout_and_bias(spec):
    x, w = spec(4, 8), spec(16, 8)
    shape = gemm_shape(Call("aten.addmm.default", (spec(16), x, spec(8, 16))))
    assert (shape.m, shape.n, shape.k, shape.has_bias) == (4, 16, 8, True)
    assert shape.a_k_contiguous and not shape.b_k_contiguous
    shape = gemm_shape(Call("aten.linear.default", (x, w)))
    assert shape.b_k_contiguous and not shape.has_bias
    with pytest.raises(BadInput, match="no matrix product"):
        gemm_shape(Call("aten.relu.default", (x,)))
    with pytest.raises(BadInput, match="expected a tensor"):
        gemm_shape(Call("aten.linear.default", (x, 3)))
    with pytest.raises(BadInput, match="does not fit"):
        gemm_shape(Call("aten.einsum.default", ("ij,jk->ik", (x, spec(3)))))


def test_small_counts(spec):
    x = spec(4, 100)
    one = (spec(4, 1),)
    for op, args, outputs, expected in (
        ("aten.add.Tensor", (x, x), (x,), 400),
        ("aten.gelu.default", (x,), (x,), 3200),
        ("aten.softmax.int", (x, -1), (x,), 2000),
        ("aten.layer_norm.default", (x, (100,), None, None), (x,), 3200),
        ("aten.mean.dim", (x, (-1,), True), one, 400),
        ("aten.sort.default", (x,), (x, x), 400 * 7),
        ("aten.clone.default", (x,), (x,), 0),
        ("aten.avg_pool2d.default", (spec(1, 8, 8), (2, 2)), (spec(1, 4, 4),), 64),
        ("aten.avg_pool2d.default", (spec(1, 3, 7, 7), 1280), (spec(1, 3, 1, 1),), 3 * 49),  # ends at the edge
        ("aten.max_pool1d.default", (spec(1, 3, 7), (2,)), (spec(1, 3, 3),), 18),
        ("aten.max_pool2d_with_indices.default", (spec(3, 8, 8), 3, 1), (spec(3, 6, 6),) * 2, 3 * 36 * 9),
        ("aten.fft_fft2.default", (spec(2, 8, 16),), (spec(2, 8, 16, dtype="complex64"),), 5 * 256 * 7),
        ("aten.zeros.default", ((4, 100),), (x,), 0),
    ):
        assert count_flop(Call(op, args, (), outputs)) == expected, op
        assert count_matmul_flop(Call(op, args, (), outputs)) == 0


def test_a_key_is_registered_once():
    @register_flop("test_flop.scan")
    def _count(call: Call) -> int:
        return 7

    assert count_flop(Call("test_flop.scan.default", ())) == 7
    for key in ("test_flop.scan", "gemm", "aten.einsum"):
        with pytest.raises(ValueError, match="already has a FLOP rule"):
            register_flop(key)(lambda call: 0)
