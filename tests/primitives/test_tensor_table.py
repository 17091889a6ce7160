"""Tensors as arrays say of each tensor what its own properties say, and of each call what it says alone."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from irene.primitives import features_of
from irene.primitives.call import Call, TensorSpec
from irene.primitives.chip import ATTENTION_BACKENDS, Chip
from irene.primitives.features import feature_matrix
from irene.primitives.loops import nest_loops
from irene.primitives.tensor_table import tabulate_tensors
from irene.primitives.vector_features import largest_of, tabulate_passes

CHIP = Chip(132, 2048, ATTENTION_BACKENDS)
SCALAR = TensorSpec((), (), "float32")
ADD, FILL, SPLIT = "aten.add.Tensor", "aten.zeros.default", "aten.aminmax.default"


@st.composite
def tensors(draw: st.DrawFn) -> TensorSpec:
    shape = draw(st.lists(st.integers(0, 7), max_size=4))
    strides = st.sampled_from([0, 1, 2, *(math.prod(shape[at:]) for at in range(len(shape) + 1))])
    stride = draw(st.lists(strides, min_size=len(shape), max_size=len(shape)))
    return TensorSpec(tuple(shape), tuple(stride), draw(st.sampled_from(["bfloat16", "float32", "bool"])))


@st.composite
def calls(draw: st.DrawFn) -> Call:
    operands, outputs = draw(st.lists(tensors(), max_size=3)), draw(st.lists(tensors(), max_size=2))
    return Call(draw(st.sampled_from([ADD, FILL, SPLIT])), tuple(operands), (), tuple(outputs))


def dense(*shape: int, dtype: str = "bfloat16") -> TensorSpec:
    return TensorSpec(shape, tuple(math.prod(shape[i + 1 :]) for i in range(len(shape))), dtype)


def transposed(tensor: TensorSpec) -> TensorSpec:
    shape, stride = tensor.shape, tensor.stride
    return TensorSpec((*shape[:-2], shape[-1], shape[-2]), (*stride[:-2], stride[-1], stride[-2]), tensor.dtype)


@given(st.lists(calls(), max_size=5))
def test_a_table_says_what_its_tensors_say(given_calls: list[Call]) -> None:
    table = tabulate_tensors(given_calls)
    specs = [tensor for call in given_calls for tensor in (*call.tensors, *call.outputs)]
    assert table.scalar == len(specs)
    for row, spec in enumerate([*specs, SCALAR]):
        assert table.numel[row] == spec.numel and table.bytes[row] == spec.bytes
        assert table.is_contiguous[row] == spec.is_contiguous
        assert table.has_zero_stride[row] == (0 in spec.stride)
        assert table.last[row] == (spec.shape or (1,))[-1]
    for number, call in enumerate(given_calls):
        assert table.dtypes_of_calls[number] == len({t.dtype for t in (*call.tensors, *call.outputs)})


@given(st.lists(calls(), min_size=1, max_size=5))
def test_the_largest_operand_is_found(given_calls: list[Call]) -> None:
    passes = tabulate_passes(given_calls)
    specs = [*(tensor for call in given_calls for tensor in (*call.tensors, *call.outputs)), SCALAR]
    for number, call in enumerate(given_calls):
        found = specs[passes.largest[number]]
        assert found == max(call.tensors or call.outputs, key=lambda t: t.numel, default=found) == largest_of(call)
        assert passes.numel_out[number] == sum(t.numel for t in call.outputs)
        assert call.tensors or call.outputs or found == SCALAR


@given(st.lists(calls(), min_size=1, max_size=5))
def test_calls_together_have_the_features_of_each_alone(given_calls: list[Call]) -> None:
    together = feature_matrix(given_calls, "elementwise", CHIP)
    for row, call in zip(together, given_calls, strict=True):
        assert np.isfinite(row).all()
        if 0 not in [t.numel for t in call.outputs]:  # nothing is launched for an empty output: another kind
            np.testing.assert_array_equal(row, list(features_of(call, CHIP).values()))


def loops_of(*operands: TensorSpec) -> list[tuple[int, tuple[int, ...]]]:
    """The loops of a kernel that writes the first of its tensors, found beside those of one with more dimensions."""
    other = dense(2, 3, 4, 5, 6)
    table = tabulate_tensors([Call(ADD, operands), Call(ADD, (other, transposed(other)))])
    scalars = [table.scalar] * len(operands)
    rows = np.array(
        [[*range(len(operands)), table.scalar], [len(operands), len(operands) + 1, *scalars][: len(scalars) + 1]]
    )
    nests = nest_loops(table, rows)
    assert (nests.steps[0, :, len(operands) :] == 0).all() and (nests.size[0, nests.count[0] :] == 1).all()
    steps = nests.steps[0, :, : len(operands)].tolist()
    return [(int(nests.size[0, at]), tuple(steps[at])) for at in range(int(nests.count[0]))]


@given(st.lists(st.integers(1, 7), min_size=1, max_size=4))
def test_loops_cover_every_element(shape: list[int]) -> None:
    made = dense(*shape)
    row = dense(shape[-1])
    for operands in ([made], [made, made], [made, row], [made, transposed(made)] if len(shape) > 1 else [made]):
        if operands[-1].shape in (made.shape, row.shape):
            assert math.prod(size for size, _ in loops_of(*operands)) == made.numel
    assert len(loops_of(made, made)) == (made.numel > 1)


def test_tensors_that_lie_alike_make_one_loop_whatever_their_layout() -> None:
    across = transposed(dense(60, 2048, 1500))
    assert loops_of(across, across) == [(60 * 2048 * 1500, (1, 1))]
    assert loops_of(dense(60, 1500, 2048), across) == [
        (2048, (1, 1500)),
        (1500, (2048, 1)),
        (60, (3072000, 3072000)),
    ]
