"""Products in low precision and with packed weights: sizes, FLOP and bytes against torch's own shapes and formats."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.sparse._semi_structured_conversions import sparse_semi_structured_from_dense_cutlass

from irene.errors import BadInput
from irene.hardware.devices import load_device
from irene.hardware.roofline import roofline_s
from irene.primitives import Call, compute_dtype, count_flop, count_traffic_bytes, gemm_shape, kind_of
from irene.primitives.call import TensorSpec
from irene.primitives.sites import site_of_call
from irene.primitives.work import count_work
from tests.primitives.conftest import describe

M, N, K = 48, 256, 512
EIGHT, BF16 = torch.float8_e4m3fn, torch.bfloat16


def on_meta(*shape: int, dtype: torch.dtype = BF16) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def described(op: str, *args: Any, **kwargs: Any) -> Call:
    """The call, its output as torch's own rules for meta tensors give it."""
    namespace, name, overload = op.split(".")
    out = getattr(getattr(getattr(torch.ops, namespace), name), overload)(*args, **kwargs)
    plain = [str(a) if isinstance(a, torch.dtype) else describe(a) for a in args]
    named = tuple((k, str(v) if isinstance(v, torch.dtype) else describe(v)) for k, v in kwargs.items())
    return Call(op, tuple(plain), named, (describe(out),))


def scaled(scale_a: torch.Tensor, scale_b: torch.Tensor, bias: torch.Tensor | None = None) -> Call:
    x, weight = on_meta(M, K, dtype=EIGHT), on_meta(N, K, dtype=EIGHT).t()
    return described("aten._scaled_mm.default", x, weight, scale_a, scale_b, bias, None, BF16)


def sparse() -> Call:
    return described("aten._cslt_sparse_mm.default", on_meta(N, 9 * K // 16), on_meta(M, K).t(), on_meta(N))


FLOAT32 = torch.float32
EIGHT_BITS, HALF = M * K + N * K, 2 * M * N
CALLS = {
    "tensor scales": (scaled(on_meta(dtype=FLOAT32), on_meta(dtype=FLOAT32)), K, EIGHT_BITS + 8 + HALF),
    "row scales": (
        scaled(on_meta(M, 1, dtype=FLOAT32), on_meta(1, N, dtype=FLOAT32), on_meta(N)), K,
        EIGHT_BITS + 4 * (M + N) + 2 * N + HALF,
    ),
    "int8": (
        described("aten._int_mm.default", on_meta(M, K, dtype=torch.int8), on_meta(N, K, dtype=torch.int8).t()), K,
        EIGHT_BITS + 4 * M * N,
    ),
    "int8 weights": (
        described("aten._weight_int8pack_mm.default", on_meta(M, K), on_meta(N, K, dtype=torch.int8), on_meta(N)), K,
        2 * M * K + N * K + 2 * N + HALF,
    ),
    "2:4": (sparse(), K // 2, 2 * M * K + 2 * N * K * 9 // 16 + 2 * N + HALF),
}  # fmt: skip


@pytest.mark.parametrize("name", CALLS)
def test_sizes_flop_and_bytes(name: str) -> None:
    call, k, traffic_bytes = CALLS[name]
    shape = gemm_shape(call)
    assert (shape.batch, shape.m, shape.n, shape.k) == (1, M, N, k)
    assert shape.a_k_contiguous and shape.b_k_contiguous
    assert shape.has_bias == (name in ("row scales", "2:4"))
    assert kind_of(call) == "gemm"
    assert count_flop(call) == 2 * M * N * k
    assert count_traffic_bytes(call) == traffic_bytes
    assert site_of_call(call)[:3] == ("product", N, k)
    assert roofline_s(count_work(call), compute_dtype(call), load_device("h200")) > 0


def test_four_bits_a_weight() -> None:
    """Independent: torch packs N x K four-bit weights into half a byte each, whatever the tiles."""
    for tiles in (2, 4, 8):
        weight = on_meta(N // 8, K // (16 * tiles), 32, tiles // 2, dtype=torch.int32)
        assert weight.numel() * 4 == N * K // 2
        args = tuple(describe(t) for t in (on_meta(M, K), weight)) + (128, describe(on_meta(K // 128, N, 2)))
        call = Call("aten._weight_int4pack_mm.default", args, (), (describe(on_meta(M, N)),))
        shape = gemm_shape(call)
        assert (shape.m, shape.n, shape.k, shape.flop) == (M, N, K, 2 * M * N * K)
        assert count_traffic_bytes(call) == 2 * M * K + N * K // 2 + 4 * N * K // 128 + HALF


def test_halves_of_a_sparse_weight() -> None:
    """Independent: torch's own conversion of a dense weight gives the operands."""
    dense = torch.randn(N, K, dtype=BF16) * (torch.arange(K) % 4 < 2)
    halves, places = sparse_semi_structured_from_dense_cutlass(dense)
    linear = described(
        "aten._sparse_semi_structured_linear.default", on_meta(M, K), halves.to("meta"), places.to("meta")
    )
    product = described(
        "aten._sparse_semi_structured_mm.default", halves.to("meta"), places.to("meta"), on_meta(M, K).t()
    )
    added = Call(
        "aten._sparse_semi_structured_addmm.default", (describe(on_meta(N)), *product.args), (), product.outputs
    )
    for call in (linear, product, added):
        shape = gemm_shape(call)
        assert (shape.m, shape.n, shape.k, shape.has_bias) == (M, N, K // 2, call is added)
        weights = halves.numel() * 2 + places.numel() * 2
        assert weights == N * K * 2 * 9 // 16
        assert count_traffic_bytes(call) == weights + 2 * M * K + HALF + (2 * N if call is added else 0)


def test_a_missing_operand() -> None:
    with pytest.raises(BadInput, match="expected a tensor as argument 1"):
        gemm_shape(Call("aten._weight_int8pack_mm.default", (TensorSpec((1, 8), (8, 1), "bfloat16"),)))
