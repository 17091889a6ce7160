"""What decides the time of norms, pools and resizings of images, as columns for their time regressor.

Some of their kernels give a block to each plane or group and walk through it, some a thread to each place and walk
through samples and channels, some look up each element once a tap. How long such a walk is, how many go at once, and in
which order channels and places lie, decides; each sort has its own kernels for the two layouts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from irene.arrays import FloatArray
from irene.hardware.spec import DeviceSpec
from irene.primitives.call import Call
from irene.primitives.image_passes import IMAGE_SORTS, has_adjacent_channels, image_sort, planes_of
from irene.primitives.log_sizes import log2_align
from irene.primitives.work import count_work

IMAGE_PASSES = (
    *(f"is_{sort}" for sort in IMAGE_SORTS), *(f"is_{sort}_channels_last" for sort in IMAGE_SORTS),
    "is_channels_last", "log2_samples", "log2_channels", "log2_plane", "log2_plane_out", "log2_line_out", "log2_walk",
    "log2_walkers", "log2_walk_rate", "log2_turns_rate", "log2_loads_rate", "log2_elements_in_rate",
    "log2_elements_out_rate", "log2_planes_rate", "log2_aligned_plane", "log2_aligned_channels",
)  # fmt: skip


def image_passes(calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec) -> FloatArray:
    """Columns as named in IMAGE_PASSES, shape (calls, columns)."""
    rows = [_row(call, base, spec) for call, base in zip(calls, base_s, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(IMAGE_PASSES))


def _row(call: Call, base_s: float, spec: DeviceSpec) -> tuple[float, ...]:
    x = call.tensors[0]
    out = call.outputs[0] if call.outputs else x
    sort, is_last = image_sort(call), has_adjacent_channels(x)
    samples, channels, plane = planes_of(x)
    plane_out = max(out.numel // (samples * channels), 1)
    walk, walkers = _walks(call, sort, is_last, plane_out)
    if _knows_no_samples(call, sort, is_last):
        samples, plane, plane_out = 1, samples * plane, samples * plane_out
    turns = walk * math.ceil(walkers / spec.sm_count)
    counts = (walk, turns, count_work(call).flop, x.numel, out.numel, samples * channels)
    return (
        *(float(sort == own) for own in IMAGE_SORTS), *(float(sort == own and is_last) for own in IMAGE_SORTS),
        float(is_last),
        *(math.log2(size) for size in (samples, channels, plane, plane_out, max(out.shape[-1], 1), walk, walkers)),
        *(math.log2(max(count, 1) / (base_s * 1e6)) for count in counts),
        *log2_align(np.array([plane, channels])).tolist(),
    )  # fmt: skip


def _knows_no_samples(call: Call, sort: str, is_last: bool) -> bool:
    """Whether a place is a row of channels, of whichever sample: torch's own kernel of batch norms, not the library's.

    The library takes images in float32 (torch, aten/src/ATen/native/Normalization.cpp, _select_batch_norm_backend).
    """
    x = call.tensors[0]
    return sort == "batch_norm" and is_last and (x.itemsize < 4 or len(x.shape) == 2)


def _walks(call: Call, sort: str, is_last: bool, plane_out: int) -> tuple[int, int]:
    """How many elements one worker goes through, and how many workers there are.

    Norms have a block for each group of channels, or for each channel, of a sample (torch,
    aten/src/ATen/native/cuda/group_norm_kernel.cu, Normalization.cuh). Resizing between elements has a thread for each
    place, or, with channels last, for each element (UpSampleBilinear2d.cu); a pool one for each output, which goes
    through its window.
    """
    samples, channels, plane = planes_of(call.tensors[0])
    if sort == "group_norm":
        groups = _groups(call, channels)
        return max(channels // groups, 1) * plane, samples * groups
    if _knows_no_samples(call, sort, is_last):
        return 1, samples * channels * plane
    if sort in ("batch_norm", "instance_norm", "plane_mean"):
        return plane, samples * channels
    if sort in ("linear", "cubic") and not is_last:
        return samples * channels, plane_out
    outputs = samples * channels * plane_out
    if sort == "adaptive":
        return max(plane // plane_out, 1), outputs
    return max(count_work(call).flop // outputs, 1), outputs


def _groups(call: Call, channels: int) -> int:
    """Of a group norm: the second argument, or, of torch's inner form, the last whole number."""
    whole = [value for value in call.args[1:] if isinstance(value, int) and not isinstance(value, bool)]
    at = -1 if call.name.startswith("native") else 0
    return max(whole[at], 1) if whole else channels
