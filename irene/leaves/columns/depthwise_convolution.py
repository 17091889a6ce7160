"""What decides the time of a depthwise convolution, as columns for its time regressor: taps, lines, and whose kernel.

Its kernels load each element once a tap and multiply on the vector units, so that what counts is how many taps fall
on how many elements, and in which order channels and positions lie.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from irene.arrays import FloatArray
from irene.hardware.spec import DeviceSpec
from irene.primitives.call import Call
from irene.primitives.depthwise import takes_library_kernel
from irene.primitives.work import count_work

DEPTHWISE_CONVOLUTION = (
    "log2_taps", "log2_line_taps", "log2_channels", "log2_line", "log2_positions", "log2_stride", "is_of_library",
    "is_channels_last", "log2_vector_ratio", "log2_traffic_ratio", "log2_outputs_rate",
)  # fmt: skip


def depthwise_convolution(
    calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec
) -> FloatArray:
    """Columns as named in DEPTHWISE_CONVOLUTION, shape (calls, columns)."""
    rows = [_row(call, base, spec) for call, base in zip(calls, base_s, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(DEPTHWISE_CONVOLUTION))


def _row(call: Call, base_s: float, spec: DeviceSpec) -> tuple[float, ...]:
    x, weight, out = call.tensors[0], call.tensors[1], call.outputs[0]
    work, dims = count_work(call), len(weight.shape) - 2
    channels, inner, positions = x.shape[-dims - 1], math.prod(x.shape[-dims:]), math.prod(out.shape[-dims:])
    return (
        math.log2(max(math.prod(weight.shape[2:]), 1)), math.log2(max(weight.shape[-1], 1)), math.log2(channels),
        math.log2(max(out.shape[-1], 1)), math.log2(max(x.numel // (channels * inner) * positions, 1)),
        math.log2(max(inner, 1) / max(positions, 1)), float(takes_library_kernel(call)), float(not x.is_contiguous),
        math.log2(max(work.flop / spec.vector_flop_per_s, 1e-12) / base_s),
        math.log2(max(work.traffic_bytes / spec.hbm_bytes_per_s, 1e-12) / base_s),
        math.log2(max(out.numel, 1) / (base_s * 1e6)),
    )  # fmt: skip
