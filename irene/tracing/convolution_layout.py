"""The layout in memory that a convolution's output has on a GPU, where meta tensors answer as a CPU would.

On a GPU an input *or a weight* in channels_last makes the output so (torch `aten/src/ATen/native/ConvUtils.h`,
`cudnn_conv_suggest_memory_format`), and the operators after it read it so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from irene.model_tree.tree import Node
from irene.primitives.kinds import kind_of

_FORMATS = {4: torch.channels_last, 5: torch.channels_last_3d}
CHANNELS_LAST = (
    "Convolutions in channels_last are priced as in the contiguous layout: in channels_last none was measured."
)


def lay_out(output: torch.Tensor, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """A convolution's meta output as a GPU lays it out.

    >>> x = torch.empty(2, 8, 4, 4, device="meta").to(memory_format=torch.channels_last)
    >>> lay_out(torch.empty(2, 3, 4, 4, device="meta"), x, torch.empty(3, 8, 1, 1, device="meta")).stride()
    (48, 1, 12, 3)
    """
    is_last = any(_is_channels_last(t.shape, t.stride()) for t in (x, weight)) and x.dtype != torch.float64
    return torch.empty_like(output, memory_format=_FORMATS[output.dim()]) if is_last else output


def notes_of_layouts(leaves: Iterable[Node]) -> tuple[str, ...]:
    """A note where a convolution of a tree reads or writes channels_last."""
    calls = {leaf.call for leaf in leaves if leaf.call is not None and kind_of(leaf.call) == "convolution"}
    is_last = any(_is_channels_last(t.shape, t.stride) for call in calls for t in (*call.tensors[:2], *call.outputs))
    return (CHANNELS_LAST,) if is_last else ()


def _is_channels_last(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """Whether the strides grow from channels over pixels to images (`c10/core/MemoryFormat.h`)."""
    if len(shape) not in _FORMATS or stride[1] == 0:
        return False
    least = 0
    for dim in (1, *range(len(shape) - 1, 1, -1), 0):
        if shape[dim] == 0 or stride[dim] < least or (dim == 0 and least == stride[1]):
            return False
        least = stride[dim] * shape[dim]
    return True
