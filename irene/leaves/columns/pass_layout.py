"""How passes over memory lie there, as columns for the time regressors: loops, rows, alignment. All calls at once.

Shapes alone hardly show why a sum over 64 numbers is slow. Counts (elements, rows) come as log2 of their rate over the
base time, so that a kernel that is limited by them, and not by bytes, shows as a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from irene.arrays import BoolArray, FloatArray, IntArray
from irene.hardware.spec import DeviceSpec
from irene.primitives.call import Call, TensorSpec
from irene.primitives.kinds import is_pointwise, kind_of
from irene.primitives.layouts import WIDEST_ACCESS_BYTES
from irene.primitives.log_sizes import log2_size
from irene.primitives.loops import nest_loops
from irene.primitives.stacks import numbers_of, words_of
from irene.primitives.tensor_table import TensorTable
from irene.primitives.vector_features import largest_of, tabulate_passes

PASS_LAYOUT = (
    "loops", "log2_inner_loop", "is_one_loop", "unit_strides", "other_strides", "broadcasts", "log2_aligned_loop",
    "log2_crossed_bytes", "log2_elements_rate", "log2_rows_rate", "log2_elements_in_rate", "log2_rows_out_rate",
    "log2_aligned_in", "log2_aligned_out", "log2_width_bytes", "is_long_row", "is_inner_reduced", "dtypes", "sorting",
    "is_indexed_join",
)  # fmt: skip
_REDUCING_KINDS = ("reduction", "softmax", "norm")
_JOINS = ("cat", "stack", "concat")
_LONGEST_WARP_ROW = 1024  # torch's softmax keeps rows up to this long in registers of one warp


def pass_layout(calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec) -> FloatArray:
    """Columns as named in PASS_LAYOUT, for calls that pass over memory once or twice, shape (calls, columns)."""
    passes = tabulate_passes(calls)
    table, largest = passes.tensors, passes.largest
    made = table.first_of_calls(table.is_output)
    made = np.where(made == table.scalar, table.first_of_calls(~table.is_output), made)
    made_numel = np.where(table.count_of_calls(table.is_output) > 0, passes.numel_out, passes.numel[made])
    made_numel[made == table.scalar] = 0
    numel_in = np.maximum(passes.numel_in, 1)
    rows = np.maximum(passes.rows, 1)
    counts = (made_numel, rows, numel_in, made_numel / np.maximum(table.last[made], 1))
    kinds = np.array(words_of(kind_of, calls))
    reduces_inner, is_indexed_join, is_join, is_looped = numbers_of(_which, calls, 4, np.bool_)
    columns = [
        *_loop_columns(is_looped & ~is_join, table, made),
        *(np.log2(np.maximum(count, 1.0 / 1024) / (base_s * 1e6)) for count in counts),
        *(_log2_aligned(table.last[tensor] * table.itemsize[tensor]) for tensor in (largest, made)),
        log2_size(passes.width * table.itemsize[largest]),
        passes.width > _LONGEST_WARP_ROW,
        reduces_inner,
        table.dtypes_of_calls,
        np.where(kinds == "sort", log2_size(passes.width) * log2_size(rows), 0.0),
        is_indexed_join,
    ]
    return np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])


def _which(call: Call) -> tuple[bool, bool, bool, bool]:
    """Whether it reduces what lies side by side, is an indexed join, is a join, is a pointwise loop."""
    kind, is_looped = kind_of(call), is_pointwise(call)
    reduces_inner = kind in _REDUCING_KINDS and not is_looped and _reduces_inner(call, kind, largest_of(call))
    return reduces_inner, _is_indexed_join(call), call.name.rstrip("_") in _JOINS, is_looped


def _loop_columns(is_looped: BoolArray, table: TensorTable, made: IntArray) -> FloatArray:
    """The first eight columns of PASS_LAYOUT, shape (columns, calls); zeros for what is no pointwise loop."""
    at = np.flatnonzero(is_looped)
    columns = np.zeros((8, table.calls))
    if not len(at):
        return columns
    tensors = _looped_tensors(table, made)[at]
    is_there = tensors != table.scalar
    is_there[:, 0] = True
    nests = nest_loops(table, tensors)
    size, steps = nests.size[:, 0], nests.steps[:, 0]
    steps[nests.count == 0] = 1  # one element
    loops = np.maximum(nests.count, 1)
    is_unit, is_still = (steps == 1) & is_there, (steps == 0) & is_there
    is_crossing = is_there & ~is_unit & ~is_still
    aligned = np.where(is_there, _log2_aligned(size[:, None] * table.itemsize[tensors]), np.inf).min(axis=1)
    columns[:, at] = (
        loops, log2_size(size), (loops == 1) & ~is_crossing.any(axis=1), is_unit.sum(axis=1), is_crossing.sum(axis=1),
        is_still.sum(axis=1), np.where(loops > 1, aligned, np.log2(WIDEST_ACCESS_BYTES)),
        log2_size((table.bytes[tensors] * is_crossing).sum(axis=1)),
    )  # fmt: skip
    return columns


def _looped_tensors(table: TensorTable, made: IntArray) -> IntArray:
    """Rows of what each call writes and of the operands that broadcast to it, filled up with the scalar's row."""
    made_rank = np.append(table.rank[made], -1)[table.call]
    kept = np.flatnonzero(~table.is_output & (table.rank <= made_rank))
    call = table.call[kept]
    counts = np.bincount(call, minlength=table.calls)
    place = np.arange(len(kept)) - (np.cumsum(counts) - counts)[call]
    tensors = np.full((table.calls, 1 + int(counts.max())), table.scalar, dtype=np.int64)
    tensors[:, 0] = made
    tensors[call, 1 + place] = kept
    return tensors


def _log2_aligned(size_bytes: IntArray) -> FloatArray:
    return log2_size(np.gcd(size_bytes, WIDEST_ACCESS_BYTES))


def _is_indexed_join(call: Call) -> bool:
    """Whether a join works out the place of each element: where an operand has gaps, or is empty.

    Only operands that all lie densely are copied in wide pieces (torch, aten/src/ATen/native/cuda/Shape.cu). Of joins
    of more than 4M elements in data/h200 those write 0.6 to 1.1e12 elements a second (16 bits), others 0.15 to
    0.25e12, whatever their dtype.
    """
    return call.name in _JOINS and not all(tensor.numel and tensor.is_contiguous for tensor in call.tensors)


def _reduces_inner(call: Call, kind: str, largest: TensorSpec) -> bool:
    """Whether what is reduced together lies side by side."""
    if not largest.shape:
        return False
    given: Any = call.args[1] if len(call.args) > 1 and kind != "norm" else -1
    dim = given[-1] if isinstance(given, tuple) and given else given
    if not isinstance(dim, int) or not -len(largest.shape) <= dim < len(largest.shape):
        dim = -1
    return largest.stride[dim] == 1
