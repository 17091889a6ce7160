"""What a dense convolution does beside its product, as columns for its time regressor: layouts, bias, chains of steps.

The library's kernels for tensor cores want channels last and aligned: images that lie otherwise are transposed before
and after, and torch adds a bias in a pass of its own (aten/src/ATen/native/Convolution.cpp). A stride beyond the taps
skips elements. A tile walks over all inputs of its outputs one step after the other, so that a window of many channels
and taps takes long however few tiles there are. Ratios are to the base time; one column adds all of this up.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from irene.arrays import FloatArray
from irene.hardware.spec import DeviceSpec
from irene.primitives.call import Call
from irene.primitives.depthwise import has_channels_last, steps_of
from irene.primitives.log_sizes import log2_align
from irene.primitives.shapes import gemm_shape, is_transposed

_TILES = ((64, 64), (128, 128), (256, 128))
IMAGE_CONVOLUTION = (
    "has_channels_last", "is_of_one_element", "log2_step", "log2_even_in", "log2_even_out", "log2_even_image",
    "log2_bias_ratio", "log2_layout_ratio", "log2_touched_ratio", "log2_result_ratio",
    *(f"log2_chain_ratio_{rows}x{columns}" for rows, columns in _TILES), "log2_summed_ratio",
)  # fmt: skip
_WHOLE = 8  # channels or positions that a vector access takes
# Seconds of one input of an output: a wave of tiles that works through it, and the least that was seen of it in each
# mode; and how many passes at full bandwidth one that adds a bias takes. Coarse, of some hundred timings on an H200:
# regressors see ratios, and learn what is left.
_LINK_S = 20e-9
_STEP_S = {"bfloat16": 4e-9, "float16": 4e-9, "tf32": 9e-9}
_PLAIN_STEP_S = 24e-9  # on the vector units
_BIAS_PASSES = 3.0


def image_convolution(calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec) -> FloatArray:
    """Columns as named in IMAGE_CONVOLUTION, shape (calls, columns), of convolutions along any number of dimensions."""
    rows = [_row(call, dtype, base, spec) for call, dtype, base in zip(calls, dtypes, base_s, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(IMAGE_CONVOLUTION))


def _row(call: Call, dtype: str, base_s: float, spec: DeviceSpec) -> tuple[float, ...]:
    x, weight, out = call.tensors[0], call.tensors[1], call.outputs[0]
    shape, taps, steps = gemm_shape(call), weight.shape[2:], steps_of(call, 3, "stride")
    is_last = has_channels_last(x) or has_channels_last(weight)
    is_of_one = math.prod(taps) == 1 and max(steps) == 1
    image, channels_out, channels_in = math.prod(x.shape[-len(taps) :]), weight.shape[0] // shape.batch, weight.shape[1]
    touched, filled_k = math.prod(min(1.0, t / s) for t, s in zip(taps, steps, strict=True)), math.prod(taps)
    filled_k *= -(-channels_in // _WHOLE) * _WHOLE
    if is_transposed(call):  # its weight is the other way round, its taps make outputs, and it skips no inputs
        channels_in, channels_out, touched, filled_k = weight.shape[0] // shape.batch, weight.shape[1], 1.0, shape.k
    bias_s = 2 * out.bytes / spec.hbm_bytes_per_s if shape.has_bias else 0.0
    layout_s = 0.0 if is_last else 2 * (x.bytes + out.bytes) / spec.hbm_bytes_per_s
    touched_s = (touched * x.bytes + weight.bytes + out.bytes) / spec.hbm_bytes_per_s
    tiles = [shape.batch * -(-shape.m // rows) * -(-shape.n // columns) for rows, columns in _TILES]

    on_tensor_cores = dtype in _STEP_S
    peak_flop_per_s = spec.peak(dtype) if on_tensor_cores else spec.vector_flop_per_s
    product_s = 2 * shape.batch * shape.m * shape.n * filled_k / peak_flop_per_s
    summed_s = max(touched_s, product_s) + filled_k * _STEP_S.get(dtype, _PLAIN_STEP_S) + spec.kernel_floor_s
    if shape.has_bias:
        summed_s += _BIAS_PASSES * bias_s + spec.kernel_floor_s
    is_direct = is_of_one and image % _WHOLE == 0 and channels_in % _WHOLE == 0
    if on_tensor_cores and len(taps) == 2 and not is_last and not is_direct:
        summed_s += layout_s + 2 * spec.kernel_floor_s
    return (
        float(is_last), float(is_of_one), math.log2(steps[-1]),
        *log2_align(np.array([channels_in, channels_out, image])).tolist(),
        math.log2(1 + bias_s / base_s), math.log2(1 + layout_s / base_s),
        *(_log2_ratio(seconds, base_s) for seconds in (touched_s, out.bytes / spec.hbm_bytes_per_s)),
        *(_log2_ratio(-(-count // spec.sm_count) * filled_k * _LINK_S, base_s) for count in tiles),
        _log2_ratio(summed_s, base_s),
    )  # fmt: skip


def _log2_ratio(seconds: float, base_s: float) -> float:
    return math.log2(max(seconds, 1e-12) / base_s)
