"""Features: one documented, finite vector a call, the same names for every call of a kind."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from irene.primitives import FEATURE_DOCS, KINDS, Call, attention_backend, feature_matrix, feature_names, features_of
from irene.primitives.chip import ATTENTION_BACKENDS, Chip
from irene.primitives.features import TILES
from tests.turns import fewest_turns

CHIP = Chip(132, 2048, ATTENTION_BACKENDS)
SDPA = "aten.scaled_dot_product_attention.default"


@pytest.fixture
def calls(spec, linear):
    """Calls of every kind, odd ones too: scalars, empty tensors, no tensors."""
    x, scalar, empty, q = spec(4, 100), spec(), spec(0, 100), spec(2, 4, 16, 64)
    return [
        linear(8, 64, 32),
        linear(0, 64, 32),
        Call("aten.bmm.default", (spec(3, 4, 8), spec(3, 8, 5)), (), (spec(3, 4, 5),)),
        Call("aten.conv2d.default", (spec(2, 3, 16, 16), spec(6, 3, 4, 4)), (), (spec(2, 6, 13, 13),)),
        Call("aten._grouped_mm.default", (spec(6, 8), spec(4, 8, 16)), (), (spec(6, 16),)),
        Call(SDPA, (q, q, q), (), (q,)),
        Call(SDPA, (q, empty_like(q), empty_like(q)), (), (q,)),
        Call("aten.layer_norm.default", (x, (100,), spec(100, weight=True), None), (), (x,)),
        Call("aten.softmax.int", (x, -1), (), (x,)),
        Call("aten.gelu.default", (x,), (), (x,)),
        Call("aten.add.Tensor", (x, scalar), (), (x,)),
        Call("aten.add.Tensor", (empty, empty), (), (empty,)),
        Call("aten.mean.dim", (x, (-1,)), (), (spec(4),)),
        Call("aten.embedding.default", (x, spec(3, dtype="int64")), (), (spec(3, 100),)),
        Call("aten.cat.default", ((x, x), 0), (), (spec(8, 100),)),
        Call("aten.arange.default", (32,), (), (spec(32, dtype="int64"),)),
        Call("aten.sort.default", (x,), (), (x, x)),
        Call("aten.rand.default", ((4,),), (), (spec(4),)),
        Call("aten.transpose.int", (x, 0, 1), (), (x,), True),
        Call("aten.item.default", (scalar,)),
        Call("mylib.scan.default", (x,), (), (x,)),
        Call("collective.all_gather.default", (x, 2), (), (spec(8, 100),)),
    ]


def empty_like(q):
    return type(q)((*q.shape[:2], 0, q.shape[3]), q.stride, q.dtype)


def test_names_are_documented_and_values_finite(calls):
    from irene.primitives import kind_of

    for call in calls:
        features = features_of(call, CHIP)
        assert tuple(features) == feature_names(kind_of(call)), call.op
        assert all(math.isfinite(v) and isinstance(v, float) for v in features.values()), call.op
    assert {kind_of(call) for call in calls} == set(KINDS)
    assert all(doc for docs in FEATURE_DOCS.values() for doc in docs.values())


def test_a_call_without_any_tensor_still_has_features():
    assert len(features_of(Call("aten.size.default", ()), CHIP)) == len(feature_names("view"))


def test_linear_sizes_and_waves(linear):
    f = features_of(linear(1024, 768, 3072), CHIP)
    assert (f["log2_m"], f["log2_n"], f["log2_k"]) == (10.0, math.log2(3072), math.log2(768))
    assert f["b_k_contiguous"] == 1 and f["has_bias"] == 0 and f["is_aligned"] == 1 and f["dtype_bytes"] == 2
    tiles = 8 * 24  # of 128 x 128: two waves over 132 SMs
    assert f["wave_efficiency_128x128"] == tiles / 264
    assert f["tile_efficiency_128x128"] == 1
    assert f["log2_k_steps"] == math.log2(12)
    assert features_of(linear(1024, 768, 3072), replace(CHIP, sm_count=192))["wave_efficiency_128x128"] == 1


def test_padding_and_alignment(linear):
    f = features_of(linear(1, 768, 50257), CHIP)
    assert f["tile_efficiency_64x64"] == pytest.approx(50257 / (64 * 786 * 64))
    assert f["log2_align_n"] == 0 and f["is_aligned"] == 0 and f["log2_align_k"] == 6
    assert 0 < f["best_tile_efficiency"] <= 1
    assert all(0 < f[f"wave_efficiency_{m}x{n}"] <= 1 for m, n in TILES)


def test_attention_features(spec):
    q, kv = spec(2, 8, 512, 128), spec(2, 2, 512, 128)
    f = features_of(Call(SDPA, (q, kv, kv, None, 0.0, True), (("enable_gqa", True),), (q,)), CHIP)
    assert (f["is_causal"], f["has_mask"], f["is_cudnn"], f["log2_group"]) == (1, 0, 1, 2)
    assert f["wave_efficiency"] == 64 / 132
    assert f["log2_flop"] > f["log2_executed_flop"] > f["log2_flop"] - 1


@pytest.mark.parametrize(
    ("dtype", "masked", "kv_heads", "size", "backend"),
    [
        ("bfloat16", False, 8, 64, "cudnn"),
        ("bfloat16", False, 8, 66, "flash"),
        ("bfloat16", False, 2, 64, "cudnn"),
        ("bfloat16", True, 8, 64, "cudnn"),
        ("bfloat16", True, 2, 64, "cudnn"),
        ("float32", False, 8, 64, "efficient"),
        ("float32", False, 8, 66, "math"),
        ("bfloat16", False, 8, 512, "efficient"),
        ("bfloat16", True, 8, 256, "cudnn"),
        ("bfloat16", False, 8, 256, "cudnn"),
        ("bfloat16", True, 8, 264, "efficient"),
        ("bfloat16", False, 8, 250, "flash"),
        ("bfloat16", False, 8, 258, "math"),
        ("float64", False, 8, 64, "math"),
    ],
)
def test_attention_backend(spec, dtype, masked, kv_heads, size, backend):
    q, kv = spec(2, 8, 16, size, dtype=dtype), spec(2, kv_heads, 16, size, dtype=dtype)
    mask = spec(2, 1, 16, 16, dtype=dtype) if masked else None
    assert attention_backend(Call(SDPA, (q, kv, kv, mask), (("enable_gqa", kv_heads != 8),), (q,))) == backend


def test_vector_features_see_layout(spec):
    x = spec(64, 128)
    f = features_of(Call("aten.add.Tensor", (x, x), (), (x,)), CHIP)
    assert (f["is_vectorisable"], f["any_strided"], f["is_broadcast"], f["is_mixed_dtype"]) == (1, 0, 0, 0)
    strided = type(x)((64, 128), (1, 64), "bfloat16")
    f = features_of(Call("aten.contiguous.default", (strided,), (), (x,)), CHIP)
    assert (f["is_vectorisable"], f["any_strided"]) == (0, 1)
    f = features_of(Call("aten.mul.Tensor", (x, spec(1, 128, dtype="float32")), (), (x,)), CHIP)
    assert (f["is_broadcast"], f["is_mixed_dtype"]) == (1, 1)
    f = features_of(Call("aten.softmax.int", (spec(8, 12, 128, 256), -1), (), (spec(8, 12, 128, 256),)), CHIP)
    assert (f["log2_width"], f["log2_rows"]) == (8.0, math.log2(8 * 12 * 128))
    f = features_of(Call("aten.mean.dim", (spec(8, 12, 256), (1, 2)), (), (spec(8),)), CHIP)
    assert (f["log2_width"], f["log2_rows"]) == (math.log2(12 * 256), 3.0)


def test_matrix_has_one_row_a_call(linear):
    matrix = feature_matrix([linear(8, 64, 32), linear(16, 64, 32)], "gemm", CHIP)
    assert matrix.shape == (2, len(feature_names("gemm")))
    assert feature_matrix([], "gemm", CHIP).shape == (0, len(feature_names("gemm")))


def test_features_are_fast(linear):
    many = [linear(8 * i, 64, 32) for i in range(1, 400)]
    feature_matrix(many, "gemm", CHIP)  # counts are remembered; shapes are new to nobody now

    def compute() -> None:
        for _ in range(20):
            feature_matrix(many, "gemm", CHIP)

    assert fewest_turns(compute, enough=4e6) < 4e6  # 1.3 to 1.4 million turns were measured
