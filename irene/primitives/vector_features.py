"""Features of calls that pass over memory once or twice: all but products and attention. All calls at once, as arrays.

What each column is, `irene.primitives.features.FEATURE_DOCS` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from irene.primitives.call import Call, TensorSpec
from irene.primitives.flop import flop_per_element
from irene.primitives.kinds import kind_of
from irene.primitives.log_sizes import log2_align, log2_size
from irene.primitives.tensor_table import IntArray, TensorTable, tabulate_tensors
from irene.primitives.work import count_work

FloatArray = NDArray[np.float64]
_THREADS_PER_SM = 2048
_REDUCING_KINDS = ("norm", "softmax", "reduction")


@dataclass(frozen=True, slots=True, eq=False)
class Passes:
    """Calls as passes over memory, arrays of shape (calls,); `largest` and `first_out` are rows of `tensors`.

    `width` is what is reduced together, or the last dimension, of the largest tensor, and `rows` how many it has.
    """

    tensors: TensorTable
    numel: IntArray  # of each row of `tensors`
    largest: IntArray
    first_out: IntArray
    numel_in: IntArray
    numel_out: IntArray
    width: IntArray
    rows: FloatArray


@lru_cache(maxsize=1)  # features and layout ask for the same calls, one after the other
def tabulate_passes(calls: tuple[Call, ...]) -> Passes:
    """Sizes of calls as passes; outputs that a call has not are its largest tensor, and what it has not at all, 1."""
    table = tabulate_tensors(calls)
    numel, is_operand = table.numel, ~table.is_output
    largest = _find_largest(table, numel)
    first_out = table.first_of_calls(table.is_output)
    numel_out = table.of_calls(np.add, numel, 0, table.is_output)
    width = _find_widths(calls, table, largest)
    return Passes(
        tensors=table,
        numel=numel,
        largest=largest,
        first_out=np.where(first_out == table.scalar, largest, first_out),
        numel_in=table.of_calls(np.maximum, numel, 0, is_operand),
        numel_out=numel_out,
        width=width,
        rows=np.maximum(numel[largest], numel_out) / np.maximum(width, 1),
    )


def vector_columns(calls: Sequence[Call], sm_count: int) -> list[FloatArray]:
    """The columns of family 'vector' after those that all families have, each of shape (calls,)."""
    passes = tabulate_passes(tuple(calls))
    table, numel_out = passes.tensors, passes.numel_out
    works = [count_work(call) for call in calls]
    is_operand, is_strided = ~table.is_output, ~table.is_contiguous
    is_full = ~is_strided & (table.last * table.itemsize % 16 == 0)
    columns = [
        log2_size(passes.numel_in),
        log2_size(numel_out),
        log2_size([work.weight_bytes + work.read_bytes for work in works]),
        log2_size([work.write_bytes for work in works]),
        log2_size(passes.width),
        log2_size(passes.rows),
        log2_size(table.last[passes.first_out]),
        np.log2(np.maximum(passes.numel[passes.largest], 1) / np.maximum(numel_out, 1)),
        [flop_per_element(call) for call in calls],
        table.itemsize[passes.largest],
        table.itemsize[passes.first_out],
        table.count_of_calls(is_operand),
        table.count_of_calls(is_strided & ~table.has_zero_stride) > 0,
        table.count_of_calls((is_strided & table.is_expanded) | (is_operand & _differs_from_first(table))) > 0,
        table.dtypes_of_calls > 1,
        [call.is_in_place for call in calls],
        table.count_of_calls(~is_full) == 0,
        np.log2(np.maximum(numel_out, 1) / (sm_count * _THREADS_PER_SM)),
        log2_align(passes.width),
        _transposes(table, passes.numel),
    ]
    return [np.asarray(column, dtype=np.float64) for column in columns]


def _find_largest(table: TensorTable, numel: IntArray) -> IntArray:
    """The row of each call's largest operand, of equal ones the first; of outputs if it has no operand."""
    has_operands = np.append(table.count_of_calls(~table.is_output) > 0, False)
    asked = table.is_output != has_operands[table.call]
    most = np.append(table.of_calls(np.maximum, numel, 0, asked), 0)
    return table.first_of_calls(asked & (numel == most[table.call]))


def _differs_from_first(table: TensorTable) -> NDArray[np.bool_]:
    """Whether a tensor has another shape than the first operand of its call."""
    first = np.append(table.first_of_calls(~table.is_output), table.scalar)[table.call]
    differs: NDArray[np.bool_] = (table.shape != table.shape[first]).any(axis=1) | (table.rank != table.rank[first])
    return differs


def _transposes(table: TensorTable, numel: IntArray) -> NDArray[np.bool_]:
    """Whether large tensors of a call run along different dimensions."""
    most = np.append(table.of_calls(np.maximum, numel, 0, np.ones_like(table.is_output)), 0)
    is_large, along = (2 * numel >= most[table.call]) & (numel > 1), table.running_dim
    least, largest = (table.of_calls(pick, along, 0, is_large) for pick in (np.minimum, np.maximum))
    differs: NDArray[np.bool_] = least < largest
    return differs


def _find_widths(calls: Sequence[Call], table: TensorTable, largest: IntArray) -> IntArray:
    widths = table.last[largest].copy()
    for number, call in enumerate(calls):
        if kind_of(call) in _REDUCING_KINDS:
            widths[number] = _reduced_width(call, table.specs[largest[number]])
    return widths


def _reduced_width(call: Call, largest: TensorSpec) -> int:
    """Elements that are reduced together."""
    kind, shape = kind_of(call), largest.shape
    last = shape[-1] if shape else 1
    if kind == "norm" and len(call.args) > 1 and isinstance(call.args[1], tuple):  # layer_norm(x, normalized_shape)
        return math.prod(size for size in call.args[1] if isinstance(size, int))
    if kind == "softmax" and shape and len(call.args) > 1 and isinstance(call.args[1], int):
        return shape[call.args[1]]
    if kind == "reduction" and call.outputs:
        ratio = largest.numel // max(call.outputs[0].numel, 1)
        return ratio if ratio > 1 else last  # a scan has as many outputs as inputs
    return last
