"""How a convolution in groups may be cut up, as columns for its time regressor: what decides between kernels.

In 16 bits those with 40, 48, 80, 96 or 128 channels a group take many times as long as with 32 or 64. The slow ones
cost a constant for each output channel and tap, whatever the batch, and far more where the span (positions and taps)
exceeds 256: like a chain of small kernels over the channels, each on a span filled up to a power of two. All that
were measured have stride and dilation 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from irene.arrays import FloatArray
from irene.hardware.spec import DeviceSpec
from irene.primitives.call import Call
from irene.primitives.shapes import gemm_shape

GROUPED_CONVOLUTION = (
    "log2_groups", "log2_group_channels_in", "log2_group_channels_out", "log2_given_span", "is_eighth",
    "log2_aligned_group_channels", "log2_chain_ratio", "log2_span", "log2_filled_span",
)  # fmt: skip
_LINK_S = 1e-9  # for an output channel and a tap; regressors see a ratio, and learn what is left
_WHOLE = 8  # positions of output


def grouped_convolution(
    calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec
) -> FloatArray:
    """Columns as named in GROUPED_CONVOLUTION, shape (calls, columns), of convolutions along one dimension."""
    rows = [_row(call, base) for call, base in zip(calls, base_s, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(GROUPED_CONVOLUTION))


def _row(call: Call, base_s: float) -> tuple[float, ...]:
    x, weight, out = call.tensors[0], call.tensors[1], call.outputs[0]
    groups, channels_in, taps = gemm_shape(call).batch, weight.shape[1], weight.shape[-1]
    given, span = x.shape[-1] + taps, out.shape[-1] + taps - 1
    return (
        math.log2(groups), math.log2(channels_in), math.log2(weight.shape[0] / groups), math.log2(given),
        float(out.shape[-1] % _WHOLE == 0), math.log2(channels_in & -channels_in),
        math.log2(weight.shape[0] * taps * _LINK_S / base_s), math.log2(span), float(math.ceil(math.log2(span))),
    )  # fmt: skip
