"""How operands of products and attention lie in memory, as columns for the time regressors: alignment, hidden copies.

Shapes alone hardly show why one product of 541 columns takes twice as long as one of 544. Counts (tiles, blocks) come
as log2 of their rate over the base time, so that a kernel that is limited by them, and not by bytes, shows as a line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irene.arrays import FloatArray
from irene.hardware.spec import DeviceSpec
from irene.primitives.attention import attention_shape
from irene.primitives.call import Call, TensorSpec
from irene.primitives.kinds import kind_of
from irene.primitives.layouts import (
    WIDEST_ACCESS_BYTES,
    alignment_bytes,
    copied_bytes,
    leading_stride,
    product_operands,
)
from irene.primitives.stacks import numbers_of, pick, words_of

PRODUCT_LAYOUT = (
    "log2_copied_ratio", "log2_aligned_first", "log2_aligned_second", "log2_aligned_out", "log2_aligned_least",
    "log2_aligned_batch", "log2_row_bytes", "log2_taps", "log2_channels_in", "log2_positions_ratio", "log2_positions",
    "log2_aligned_channels", "log2_aligned_positions", "log2_transposed_ratio", "log2_samples", "spatial_dims",
)  # fmt: skip
ATTENTION_LAYOUT = (
    "log2_even_q", "log2_even_kv", "log2_aligned_mask", "log2_mask_bytes", "log2_mask_ratio", "is_mask_by_sample",
    "is_mask_by_head", "is_query_strided", "is_key_strided", "is_mask_strided", "q_tail_64", "kv_tail_64",
    "log2_tiles_rate", "log2_blocks_rate", "log2_kv_steps_64",
)  # fmt: skip

_NO_MASK = 5.0  # aligned better than any: regressors were taught so


def product_layout(calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec) -> FloatArray:
    """Columns as named in PRODUCT_LAYOUT, shape (calls, columns); those of convolutions are 0 for other products."""
    columns = np.zeros((len(calls), len(PRODUCT_LAYOUT)))
    is_convolution = np.array(words_of(kind_of, calls)) == "convolution"
    for row in np.flatnonzero(is_convolution).tolist():
        columns[row] = _convolution_row(calls[row], base_s[row], spec)
    at = np.flatnonzero(~is_convolution)
    if len(at):
        columns[at, :7] = _matrix_columns(pick(calls, at), base_s[at], spec)
    return columns


def attention_layout(calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec) -> FloatArray:
    """Columns as named in ATTENTION_LAYOUT, shape (calls, columns)."""
    q_len, kv_len, batch_heads, *found = numbers_of(_attention_sizes, calls, 10, np.int64)
    mask_itemsize, mask_bytes, *of_mask = found[:4]
    aligned = _log2_each(np.gcd(kv_len * mask_itemsize, WIDEST_ACCESS_BYTES))
    q_tiles, kv_tiles = (np.maximum(-(-length // 64), 1) for length in (q_len, kv_len))
    blocks = np.maximum(batch_heads, 1) / spec.sm_count
    return np.column_stack([
        *(_log2_each(np.gcd(length, 64)) for length in (q_len, kv_len)),
        np.where(mask_itemsize > 0, aligned, _NO_MASK), _log2_each(mask_bytes),
        _log2_each(1 + mask_bytes / spec.hbm_bytes_per_s / base_s), *of_mask, *found[4:],
        q_len / (64 * q_tiles), kv_len / (64 * kv_tiles),
        _log2_rates(blocks * q_tiles * kv_tiles, base_s), _log2_rates(blocks * -(-q_tiles // 2), base_s),
        _log2_each(kv_tiles),
    ])  # fmt: skip


def _attention_sizes(call: Call) -> tuple[int, ...]:
    """Sizes of attention, and how its operands lie.

    Queries, keys, samples x heads; of a mask its bytes an element (0: none) and in all, and whether it differs by
    sample and by head; whether query, key and mask are strided.
    """
    shape, (query, key, *_) = attention_shape(call), call.tensors
    mask: TensorSpec | None = call.tensors[3] if shape.has_mask and len(call.tensors) > 3 else None
    of_mask = (0, 0, False, False)
    if mask is not None:
        by_sample, by_head = (len(mask.shape) >= -at and mask.shape[at] > 1 and mask.stride[at] > 0 for at in (-4, -3))
        of_mask = (mask.itemsize, mask.bytes, by_sample, by_head)
    strided = (tensor is not None and not tensor.is_contiguous for tensor in (query, key, mask))
    return shape.q_len, shape.kv_len, shape.batch * shape.heads, *of_mask, *strided


def _log2(value: float) -> float:
    return math.log2(value) if value > 1 else 0.0


def _aligned(size_bytes: int) -> float:
    return _log2(alignment_bytes(size_bytes))


def _matrix_columns(calls: Sequence[Call], base_s: FloatArray, spec: DeviceSpec) -> FloatArray:
    extra_bytes, row_bytes, *steps = numbers_of(_distances, calls, 8, np.int64)
    matrices, batches = (_log2_each(np.gcd(bytes_apart, WIDEST_ACCESS_BYTES)) for bytes_apart in (steps[:3], steps[3:]))
    copied = _log2_each(1 + extra_bytes / spec.hbm_bytes_per_s / base_s)
    return np.column_stack([copied, *matrices, matrices.min(axis=0), batches.min(axis=0), _log2_each(row_bytes)])


def _distances(call: Call) -> tuple[int, ...]:
    """Bytes that are copied; from row to row of the first factor; of up to three matrices between rows, then batches.

    0 stands for what is as well aligned as can be.
    """
    first, second, _ = product_operands(call)
    matrices = [t for t in (first, second, *call.outputs[:1]) if t.shape]
    rows = [leading_stride(t) * t.itemsize for t in matrices] or [1]
    rows += rows[-1:] * (3 - len(rows))
    batches = [t.stride[-3] * t.itemsize for t in matrices if len(t.shape) > 2]
    row_bytes = leading_stride(first) * first.itemsize if first.shape else 0
    return (copied_bytes(call), row_bytes, *rows, *batches, *[0] * (3 - len(batches)))


def _log2_each(values: NDArray[Any]) -> FloatArray:
    """As `_log2` of each; NumPy's logarithm rounds otherwise here and there."""
    distinct, at = np.unique(values, return_inverse=True)  # a dozen of thousands
    logs = np.array([_log2(value) for value in distinct.tolist()], dtype=np.float64)
    return logs[at.reshape(values.shape)]


def _convolution_row(call: Call, base_s: float, spec: DeviceSpec) -> tuple[float, ...]:
    """Kernels want channels last: input, weight and output that are not so are transposed before and after."""
    x, weight, out = call.tensors[0], call.tensors[1], call.outputs[0]
    spatial = len(weight.shape) - 2
    positions, given = math.prod(out.shape[-spatial:]), math.prod(x.shape[-spatial:])
    channels_bytes, out_bytes = weight.shape[1] * weight.itemsize, out.shape[-spatial - 1] * out.itemsize
    transposed_s = 2 * (x.bytes + weight.bytes + out.bytes) / spec.hbm_bytes_per_s
    aligned = [_aligned(channels_bytes)] * 2 + [_aligned(out_bytes)]
    return (
        0.0, *aligned, min(aligned), 4.0, 0.0,
        _log2(math.prod(weight.shape[2:])), _log2(weight.shape[1]),
        math.log2(max(given, 1) / max(positions, 1)), _log2(positions),
        _aligned(channels_bytes), _aligned(positions * out.itemsize),
        math.log2(transposed_s / base_s), _log2(x.shape[0]), float(spatial),
    )  # fmt: skip


def _log2_rates(counts: FloatArray, base_s: FloatArray) -> FloatArray:
    """log2 of counts per microsecond of the base time."""
    rates = np.maximum(counts, 1.0 / 1024) / (base_s * 1e6)
    return np.array([math.log2(rate) for rate in rates.tolist()], dtype=np.float64)
