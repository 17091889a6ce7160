"""Depthwise convolutions, each channel alone: no product of matrices, and two sets of kernels far apart in speed."""

from __future__ import annotations

import math

from irene.primitives.call import Argument, Call, TensorSpec
from irene.primitives.kinds import kind_of
from irene.primitives.shapes import is_transposed

_LIBRARY_TAPS = (1, 3, 5)


def is_depthwise(call: Call) -> bool:
    """Whether each output channel of a convolution sees one of several input channels.

    >>> from irene.primitives.call import TensorSpec
    >>> x, w = TensorSpec((8, 64, 9), (576, 9, 1), "float16"), TensorSpec((64, 1, 3), (3, 3, 1), "float16")
    >>> is_depthwise(Call("aten.conv1d.default", (x, w, None, (1,), (1,), (1,), 64)))
    True
    """
    if kind_of(call) != "convolution" or is_transposed(call):
        return False
    x, weight = call.tensors[:2]
    return weight.shape[1] == 1 and x.shape[-len(weight.shape) + 1] > 1


def takes_library_kernel(call: Call) -> bool:
    """Whether cuDNN computes a depthwise convolution; else a kernel of torch's own does, several times slower.

    Images with channels last always; else float16 from 32 channels on, square filters of 1, 3 or 5 taps and no
    dilation; with a stride of 2 where channels or images are many, or it is one image (torch,
    aten/src/ATen/native/Convolution.cpp, use_cudnn_depthwise). Along one dimension what lies otherwise is laid out
    anew first, and all other strides count as if channels came first.
    """
    x, weight = call.tensors[:2]
    if has_channels_last(x) or has_channels_last(weight):
        return True
    taps, strides, dilations = weight.shape[2:], steps_of(call, 3, "stride"), steps_of(call, 5, "dilation")
    channels, batch = x.shape[-len(taps) - 1], x.shape[0] if len(x.shape) == len(weight.shape) else 1
    if x.dtype != "float16" or len(taps) > 2 or channels < 32 or max(dilations) > 1:
        return False
    height, width, stride = (x.shape[-2] if len(taps) == 2 else 1), x.shape[-1], strides[-1]
    if height == 1 and stride == 1:
        return True
    if len(set(strides)) > 1 or len(taps) < 2 or len(set(taps)) > 1 or taps[0] not in _LIBRARY_TAPS or width < 7:
        return False
    if stride != 2:
        return stride == 1
    if taps[0] == 1:
        return width <= 28 if batch == 1 else batch <= 16 and channels >= 128 and width <= 7
    return batch == 1 or channels >= 512 or (channels >= 256 and width >= 28)


def has_channels_last(tensor: TensorSpec) -> bool:
    """Whether torch takes an image or its filters for one with channels last; of one position it takes none for one."""
    if len(tensor.shape) != 4 or math.prod(tensor.shape[2:]) == 1:
        return False
    return tensor.stride[1] == 1 and tensor.stride[3] == tensor.shape[1]


def steps_of(call: Call, place: int, name: str) -> tuple[int, ...]:
    """The strides or dilations of a convolution, one a dimension; torch takes one for all, in a list too.

    >>> steps_of(Call("aten.conv2d.default", (None, None, None, (2,))), 3, "stride")
    (2,)
    """
    given: Argument = call.args[place] if len(call.args) > place else call.kwarg(name, 1)
    steps = tuple([step for step in (given if isinstance(given, tuple) else (given,)) if isinstance(step, int)]) or (1,)
    dims = len(call.tensors[1].shape) - 2 if len(call.tensors) > 1 else len(steps)
    return steps if len(steps) == dims else steps[:1] * dims
