"""How operands of products and attention lie in memory, as columns for the time regressors: alignment, hidden copies.

Shapes alone hardly show why one product of 541 columns takes twice as long as one of 544. Counts (tiles, blocks) come
as log2 of their rate over the base time, so that a kernel that is limited by them, and not by bytes, shows as a line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from irene.hardware.spec import DeviceSpec
from irene.primitives.attention import attention_shape
from irene.primitives.call import Call, TensorSpec
from irene.primitives.kinds import kind_of
from irene.primitives.layouts import alignment_bytes, copied_bytes, leading_stride, product_operands

FloatArray = NDArray[np.float64]
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


def product_layout(calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec) -> FloatArray:
    """Columns as named in PRODUCT_LAYOUT, shape (calls, columns); those of convolutions are 0 for other products."""
    rows = [
        _convolution_row(call, base, spec) if kind_of(call) == "convolution" else _matrix_row(call, base, spec)
        for call, base in zip(calls, base_s, strict=True)
    ]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(PRODUCT_LAYOUT))


def attention_layout(calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec) -> FloatArray:
    """Columns as named in ATTENTION_LAYOUT, shape (calls, columns)."""
    rows = [_attention_row(call, base, spec) for call, base in zip(calls, base_s, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(ATTENTION_LAYOUT))


def _log2(value: float) -> float:
    return math.log2(value) if value > 1 else 0.0


def _aligned(size_bytes: int) -> float:
    return _log2(alignment_bytes(size_bytes))


def _matrix_row(call: Call, base_s: float, spec: DeviceSpec) -> tuple[float, ...]:
    first, second, _ = product_operands(call)
    matrices = [t for t in (first, second, *call.outputs[:1]) if t.shape]
    aligned = [_aligned(leading_stride(t) * t.itemsize) for t in matrices] or [0.0]
    aligned += aligned[-1:] * (3 - len(aligned))
    batches = [_aligned(t.stride[-3] * t.itemsize) for t in matrices if len(t.shape) > 2]
    copied_s = copied_bytes(call) / spec.hbm_bytes_per_s
    row_bytes = leading_stride(first) * first.itemsize if first.shape else 0
    own = [math.log2(1 + copied_s / base_s), *aligned, min(aligned), min(batches, default=4.0), _log2(row_bytes)]
    return (*own, *[0.0] * (len(PRODUCT_LAYOUT) - len(own)))


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


def _attention_row(call: Call, base_s: float, spec: DeviceSpec) -> tuple[float, ...]:
    shape, (query, key, *_) = attention_shape(call), call.tensors
    mask: TensorSpec | None = call.tensors[3] if shape.has_mask and len(call.tensors) > 3 else None
    of_mask = [5.0, 0.0, 0.0, 0.0, 0.0]
    if mask is not None:
        by_sample, by_head = (len(mask.shape) >= -at and mask.shape[at] > 1 and mask.stride[at] > 0 for at in (-4, -3))
        mask_s = mask.bytes / spec.hbm_bytes_per_s
        of_mask = [_aligned(shape.kv_len * mask.itemsize), _log2(mask.bytes), math.log2(1 + mask_s / base_s),
                   float(by_sample), float(by_head)]  # fmt: skip
    q_tiles, kv_tiles = max(-(-shape.q_len // 64), 1), max(-(-shape.kv_len // 64), 1)
    blocks = max(shape.batch * shape.heads, 1) / spec.sm_count
    return (
        _log2(math.gcd(shape.q_len, 64)), _log2(math.gcd(shape.kv_len, 64)), *of_mask,
        *(float(tensor is not None and not tensor.is_contiguous) for tensor in (query, key, mask)),
        shape.q_len / (64 * q_tiles), shape.kv_len / (64 * kv_tiles),
        _log2_rate(blocks * q_tiles * kv_tiles, base_s), _log2_rate(blocks * -(-q_tiles // 2), base_s), _log2(kv_tiles),
    )  # fmt: skip


def _log2_rate(count: float, base_s: float) -> float:
    """log2 of counts per microsecond of the base time."""
    return math.log2(max(count, 1.0 / 1024) / (base_s * 1e6))
