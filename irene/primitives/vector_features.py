"""Features of calls that pass over memory once or twice: all but products and attention. All calls at once, as arrays.

What each column is, `irene.primitives.features.FEATURE_DOCS` says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from irene.arrays import BoolArray, FloatArray, IntArray
from irene.primitives.call import Call, TensorSpec
from irene.primitives.chip import Chip
from irene.primitives.flop import flop_per_element
from irene.primitives.kinds import kind_of
from irene.primitives.log_sizes import log2_align, log2_size
from irene.primitives.stacks import CallStack, numbers_of, pick, words_of
from irene.primitives.tensor_table import TensorTable, tabulate_tensors
from irene.primitives.work import count_work

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


def tabulate_passes(calls: Sequence[Call]) -> Passes:
    """Sizes of calls as passes; outputs that a call has not are its largest tensor, and what it has not at all, 1."""
    return _tabulate(calls if isinstance(calls, CallStack) else tuple(calls))


@lru_cache(maxsize=1)  # features and layout ask for the same calls, one after the other
def _tabulate(calls: Sequence[Call]) -> Passes:
    table = tabulate_tensors(calls)
    numel, is_operand = table.numel, ~table.is_output
    largest = _find_largest(table, numel)
    first_out = table.first_of_calls(table.is_output)
    numel_out = table.of_calls(np.add, numel, 0, table.is_output)
    width = _find_widths(calls, table.last[largest])
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


def vector_columns(calls: Sequence[Call], chip: Chip) -> list[FloatArray]:
    """The columns of family 'vector' after those that all families have, each of shape (calls,)."""
    passes = tabulate_passes(calls)
    table, numel_out = passes.tensors, passes.numel_out
    taken_bytes, write_bytes, per_element, is_in_place = numbers_of(_count_pass, calls, 4)
    is_operand, is_strided = ~table.is_output, ~table.is_contiguous
    is_full = ~is_strided & (table.last * table.itemsize % 16 == 0)
    columns = [
        log2_size(passes.numel_in),
        log2_size(numel_out),
        log2_size(taken_bytes),
        log2_size(write_bytes),
        log2_size(passes.width),
        log2_size(passes.rows),
        log2_size(table.last[passes.first_out]),
        np.log2(np.maximum(passes.numel[passes.largest], 1) / np.maximum(numel_out, 1)),
        per_element,
        table.itemsize[passes.largest],
        table.itemsize[passes.first_out],
        table.count_of_calls(is_operand),
        table.count_of_calls(is_strided & ~table.has_zero_stride) > 0,
        table.count_of_calls((is_strided & table.is_expanded) | (is_operand & _differs_from_first(table))) > 0,
        table.dtypes_of_calls > 1,
        is_in_place,
        table.count_of_calls(~is_full) == 0,
        np.log2(np.maximum(numel_out, 1) / (chip.sm_count * chip.threads_per_sm)),
        log2_align(passes.width),
        _transposes(table, passes.numel),
    ]
    return [np.asarray(column, dtype=np.float64) for column in columns]


def _count_pass(call: Call) -> tuple[int, int, int, bool]:
    """Bytes that are read, bytes that are written, FLOP an element, and whether it is in place."""
    work = count_work(call)
    return work.weight_bytes + work.read_bytes, work.write_bytes, flop_per_element(call), call.is_in_place


def largest_of(call: Call) -> TensorSpec:
    """The largest operand, of equal ones the first; of outputs if it has no operand; a scalar if it has no tensor."""
    return max(call.tensors or call.outputs, key=lambda tensor: tensor.numel, default=TensorSpec((), (), "float32"))


def _find_largest(table: TensorTable, numel: IntArray) -> IntArray:
    """The row of each call's largest operand, of equal ones the first; of outputs if it has no operand."""
    has_operands = np.append(table.count_of_calls(~table.is_output) > 0, False)
    asked = table.is_output != has_operands[table.call]
    most = np.append(table.of_calls(np.maximum, numel, 0, asked), 0)
    return table.first_of_calls(asked & (numel == most[table.call]))


def _differs_from_first(table: TensorTable) -> BoolArray:
    """Whether a tensor has another shape than the first operand of its call."""
    first = np.append(table.first_of_calls(~table.is_output), table.scalar)[table.call]
    differs: BoolArray = (table.shape != table.shape[first]).any(axis=1) | (table.rank != table.rank[first])
    return differs


def _transposes(table: TensorTable, numel: IntArray) -> BoolArray:
    """Whether large tensors of a call run along different dimensions."""
    most = np.append(table.of_calls(np.maximum, numel, 0, np.ones_like(table.is_output)), 0)
    is_large, along = (2 * numel >= most[table.call]) & (numel > 1), table.running_dim
    least, largest = (table.of_calls(pick, along, 0, is_large) for pick in (np.minimum, np.maximum))
    differs: BoolArray = least < largest
    return differs


def _find_widths(calls: Sequence[Call], last: IntArray) -> IntArray:
    """The width of each call, whose largest tensor has a `last` dimension (calls,)."""
    widths = last.copy()
    reducing = np.flatnonzero(np.isin(np.array(words_of(kind_of, calls)), _REDUCING_KINDS))
    if len(reducing):
        widths[reducing] = numbers_of(lambda call: (_reduced_width(call),), pick(calls, reducing), 1, np.int64)[0]
    return widths


def _reduced_width(call: Call) -> int:
    """Elements that are reduced together."""
    kind, largest = kind_of(call), largest_of(call)
    shape = largest.shape
    last = shape[-1] if shape else 1
    if kind == "norm" and len(call.args) > 1 and isinstance(call.args[1], tuple):  # layer_norm(x, normalized_shape)
        return math.prod(size for size in call.args[1] if isinstance(size, int))
    if kind == "softmax" and shape and len(call.args) > 1 and isinstance(call.args[1], int):
        return shape[call.args[1]]
    if kind == "reduction" and call.outputs:
        ratio = largest.numel // max(call.outputs[0].numel, 1)
        return ratio if ratio > 1 else last  # a scan has as many outputs as inputs
    return last
