"""How a call's operands lie in memory, as columns for the time regressors: alignment, loops, rows, hidden copies.

Shapes alone hardly show why one product of 541 columns takes twice as long as one of 544, or why a sum over 64 numbers
is slow. Counts (elements, rows) come as log2 of their rate over the base time, so that a kernel that is limited by
them, and not by bytes, shows as a line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irene.hardware.spec import DeviceSpec
from irene.primitives.attention import attention_shape
from irene.primitives.call import Call, TensorSpec
from irene.primitives.features import features_of
from irene.primitives.kinds import kind_of
from irene.primitives.layouts import alignment_bytes, copied_bytes, leading_stride, loop_nest, product_operands

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
PASS_LAYOUT = (
    "loops", "log2_inner_loop", "is_one_loop", "unit_strides", "other_strides", "broadcasts", "log2_aligned_loop",
    "log2_crossed_bytes", "log2_elements_rate", "log2_rows_rate", "log2_elements_in_rate", "log2_rows_out_rate",
    "log2_aligned_in", "log2_aligned_out", "log2_width_bytes", "is_long_row", "is_inner_reduced", "dtypes", "sorting",
)  # fmt: skip
_LOOPED_KINDS = ("activation", "elementwise", "copy", "fill", "random")
_JOINS = ("cat", "stack", "concat")
_LONGEST_WARP_ROW = 1024  # torch's softmax keeps rows up to this long in registers of one warp


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


def pass_layout(calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec) -> FloatArray:
    """Columns as named in PASS_LAYOUT, for calls that pass over memory once or twice, shape (calls, columns)."""
    rows = [_pass_row(call, base) for call, base in zip(calls, base_s, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(PASS_LAYOUT))


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


def _pass_row(call: Call, base_s: float) -> tuple[float, ...]:
    operands = call.tensors
    outputs = call.outputs or operands[:1]
    scalar = TensorSpec((), (), "float32")
    largest, made = max(operands or outputs, key=lambda t: t.numel, default=scalar), (*outputs, scalar)[0]
    known = features_of(call)
    width, rows = 2.0 ** known["log2_width"], 2.0 ** known["log2_rows"]
    made_numel = sum(t.numel for t in outputs)
    return (
        *_loop_columns(call, made),
        _log2_rate(made_numel, base_s), _log2_rate(rows, base_s), _log2_rate(2.0 ** known["log2_numel_in"], base_s),
        _log2_rate(made_numel / max((made.shape or (1,))[-1], 1), base_s),
        _aligned((largest.shape or (1,))[-1] * largest.itemsize), _aligned((made.shape or (1,))[-1] * made.itemsize),
        _log2(width * largest.itemsize), float(width > _LONGEST_WARP_ROW), float(_reduces_inner(call, largest)),
        float(len({t.dtype for t in (*operands, *outputs)})),
        known["log2_width"] * known["log2_rows"] if kind_of(call) == "sort" else 0.0,
    )  # fmt: skip


def _loop_columns(call: Call, made: TensorSpec) -> list[float]:
    """The first eight columns of PASS_LAYOUT; zeros for what is no pointwise loop."""
    tensors = [made, *(t for t in call.tensors if len(t.shape) <= len(made.shape))]
    if kind_of(call) not in _LOOPED_KINDS or call.name.rstrip("_") in _JOINS:
        return [0.0] * 8
    loops = loop_nest(tensors) or [(1, (1,) * len(tensors))]
    size, steps = loops[0]
    unit, still = steps.count(1), steps.count(0)
    crossing = len(steps) - unit - still
    aligned = min(_aligned(size * t.itemsize) for t in tensors) if len(loops) > 1 else _aligned(0)
    crossed_bytes = sum(t.bytes for t, step in zip(tensors, steps, strict=True) if step not in (0, 1))
    alone = float(len(loops) == 1 and not crossing)
    return [float(len(loops)), _log2(size), alone, float(unit), float(crossing), float(still), aligned,
            _log2(crossed_bytes)]  # fmt: skip


def _reduces_inner(call: Call, largest: TensorSpec) -> bool:
    """Whether what is reduced together lies side by side."""
    if kind_of(call) not in ("reduction", "softmax", "norm") or not largest.shape:
        return False
    given: Any = call.args[1] if len(call.args) > 1 and kind_of(call) != "norm" else -1
    dim = given[-1] if isinstance(given, tuple) and given else given
    if not isinstance(dim, int) or not -len(largest.shape) <= dim < len(largest.shape):
        dim = -1
    return largest.stride[dim] == 1


def _log2_rate(count: float, base_s: float) -> float:
    """log2 of counts per microsecond of the base time."""
    return math.log2(max(count, 1.0 / 1024) / (base_s * 1e6))
