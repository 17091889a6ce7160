"""Norms, pools and resizings of images: passes over memory that are seldom limited by bytes, each with own kernels."""

from __future__ import annotations

import math

from irene.primitives.call import Call, TensorSpec

IMAGE_SORTS = (
    "batch_norm", "group_norm", "instance_norm", "max_pool", "avg_pool", "adaptive", "plane_mean", "nearest", "linear",
    "cubic",
)  # fmt: skip
"""What `image_sort` answers, beside nothing."""
_NAMES = {
    "batch_norm": "batch_norm", "native_batch_norm": "batch_norm", "cudnn_batch_norm": "batch_norm",
    "group_norm": "group_norm", "native_group_norm": "group_norm", "instance_norm": "instance_norm",
    "max_pool": "max_pool", "avg_pool": "avg_pool", "adaptive_max_pool": "adaptive", "adaptive_avg_pool": "adaptive",
    "upsample_nearest": "nearest", "upsample_linear": "linear", "upsample_bilinear": "linear",
    "upsample_trilinear": "linear", "upsample_bicubic": "cubic",
}  # fmt: skip
_WHOLE_PLANES = ((2, 3), (-2, -1), (-1, -2))


def image_sort(call: Call) -> str:
    """Which of IMAGE_SORTS a call is, by its name; '' for every other call.

    An average over whole planes is one sort, whether called a pool or a mean: torch has one kernel for both.

    >>> from irene.primitives.call import TensorSpec
    >>> x = TensorSpec((8, 64, 7, 7), (3136, 49, 7, 1), "float32")
    >>> image_sort(Call("aten.mean.dim", (x, (2, 3)))), image_sort(Call("aten.mean.dim", (x, (3,))))
    ('plane_mean', '')
    """
    name = call.name.lstrip("_")
    if not call.tensors:
        return ""
    if name == "mean":
        is_whole = len(call.tensors[0].shape) == 4 and len(call.args) > 1 and call.args[1] in _WHOLE_PLANES
        return "plane_mean" if is_whole else ""
    sort = next((sort for prefix, sort in _NAMES.items() if name.startswith(prefix)), "")
    if sort == "adaptive" and "avg" in name and call.outputs and math.prod(call.outputs[0].shape[2:]) == 1:
        return "plane_mean"
    return sort


def planes_of(x: TensorSpec) -> tuple[int, int, int]:
    """Samples, channels, and places of one channel of one sample; 1 of what there is not.

    >>> planes_of(TensorSpec((8, 64, 7, 7), (3136, 49, 7, 1), "float32"))
    (8, 64, 49)
    """
    samples, channels, *sides = (*x.shape, 1, 1)[: max(len(x.shape), 2)]
    return max(samples, 1), max(channels, 1), max(math.prod(sides), 1)


def has_adjacent_channels(x: TensorSpec) -> bool:
    """Whether channels lie side by side, as they also do in a matrix of one row a sample."""
    return len(x.shape) > 1 and x.shape[1] > 1 and x.stride[1] == 1
