"""Operands that must fit together: packed and quantised weights, bags and segments of equal length."""

from __future__ import annotations

import pytest
import torch
from torch.sparse._semi_structured_conversions import sparse_semi_structured_to_dense_cutlass

from irene.measuring.operands import make_operands, make_tensor
from irene.measuring.packed_operands import _draw_sparse
from irene.measuring.random_shapes import dense
from irene.measuring.replaying import launch_replay
from irene.primitives.call import Call, TensorSpec

CPU = torch.device("cpu")


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def test_quantised_values_use_their_bits() -> None:
    int8 = make_tensor(dense((4000,), "int8"), CPU, generator()).float()
    assert int8.abs().max() > 90 and abs(int8.mean()) < 2 and 28 < int8.std() < 36
    uint8 = make_tensor(dense((4000,), "uint8"), CPU, generator())
    assert uint8.min() == 0 and uint8.max() == 255
    packed = dense((32, 2, 32, 4), "int32", weight=True)
    call = Call(
        "aten._weight_int4pack_mm.default", (dense((4, 256), "bfloat16"), packed, 64, dense((4, 256, 2), "bfloat16"))
    )
    made = make_operands(call, CPU, generator())[0][1]
    digits = torch.stack([made >> 4 * place & 15 for place in range(8)])
    assert made.dtype == torch.int32 and torch.bincount(digits.flatten(), minlength=16).min() > 3000


def test_complex_values_have_both_parts() -> None:
    values = make_tensor(dense((1000,), "complex64"), CPU, generator())
    assert values.real.std() > 0.5 and values.imag.std() > 0.5


@pytest.mark.parametrize("dtype", ["bfloat16", "int8"])
def test_sparse_weights_have_two_of_four(dtype: str) -> None:
    values = _draw_sparse((64, 128), dtype, CPU, generator())
    assert values.shape == (64, 128) and values.dtype == getattr(torch, dtype)
    kept = (values.float() != 0).reshape(-1, 4)
    assert kept.sum(1).max() == 2 and kept.sum(1).float().mean() > 1.9
    assert len(kept.unique(dim=0)) >= 6, "all six ways to choose two of four"


def test_where_the_halves_stood_is_valid() -> None:
    """Independent: torch's own unpacking puts two values into every four."""
    halves, places = dense((64, 64), "bfloat16", weight=True), dense((64, 8), "int16", weight=True)
    call = Call("aten._sparse_semi_structured_linear.default", (dense((8, 128), "bfloat16"), halves, places))
    args, _ = make_operands(call, CPU, generator())
    assert args[2].shape == (64, 8) and args[2].dtype == torch.int16
    unpacked = sparse_semi_structured_to_dense_cutlass(args[1], args[2])
    assert (unpacked != 0).reshape(-1, 4).sum(1).unique().tolist() == [2]


def bags(op: str) -> Call:
    indices, offsets = dense((24,), "int64"), dense((6,), "int64")
    return Call(op, (dense((9, 4), "float32", weight=True), indices, offsets))


@pytest.mark.parametrize("op", ["aten.embedding_bag.default", "aten._embedding_bag.default"])
def test_bags_are_equally_long(op: str) -> None:
    args, _ = make_operands(bags(op), CPU, generator())
    assert args[2].tolist() == [0, 4, 8, 12, 16, 20] and args[1].max() < 9
    launch_replay(bags(op), CPU).run()


@pytest.mark.parametrize(("name", "parts"), [("lengths", [4] * 3), ("offsets", [0, 4, 8, 12])])
def test_segments_are_equally_long(name: str, parts: list[int]) -> None:
    given: tuple[tuple[str, TensorSpec | int], ...] = ((name, dense((len(parts),), "int64")), ("axis", 0))
    call = Call("aten.segment_reduce.default", (dense((12, 5), "float32"), "sum"), given)
    assert make_operands(call, CPU, generator())[1][name].tolist() == parts
    assert launch_replay(call, CPU).run().shape == (3, 5)
