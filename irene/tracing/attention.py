"""Which kernel `scaled_dot_product_attention` runs on a GPU, its name on the leaf, and the layout of what it returns.

PyTorch chooses flash, memory-efficient or plain ("math") attention from dtype, mask and head size. The choice matters
twice: the kernels differ several-fold in cost, and flash returns heads interleaved (B, S, H, D in memory), so that the
`transpose(1, 2).contiguous()` that follows in every model is free, or is a copy.
"""

from __future__ import annotations

import math

import torch

from irene.primitives.attention import attention_backend
from irene.primitives.call import Argument, Call
from irene.tracing.encoding import spec_of

ATTENTION_OP = "aten.scaled_dot_product_attention.default"


def leaf_type(call: Call) -> str:
    """The type of a call's leaf: its operator, and for attention the kernel family that a Hopper GPU takes for it.

    >>> from irene.primitives.call import TensorSpec
    >>> query = TensorSpec((1, 12, 128, 64), (98304, 8192, 64, 1), "bfloat16")
    >>> leaf_type(Call(ATTENTION_OP, (query, query, query)))
    'aten.scaled_dot_product_attention.default[cudnn]'
    """
    return f"{call.op}[{attention_backend(call)}]" if call.op == ATTENTION_OP else call.op


def attend_on_meta(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> torch.Tensor:
    """An empty output with the shape and strides that the GPU's kernel would return."""
    specs: tuple[Argument, ...] = tuple(
        None if tensor is None else spec_of(tensor) for tensor in (query, key, value, attn_mask)
    )
    call = Call(ATTENTION_OP, (*specs, dropout_p, is_causal), (("enable_gqa", enable_gqa),))
    backend = attention_backend(call)
    shape: tuple[int, ...] = (*query.shape[:-1], value.shape[-1])
    if backend == "math" or len(shape) != 4:
        return query.new_empty(shape)
    if backend == "flash" and shape[-1] % 8:  # it pads the head to a multiple of 8 and returns a slice of that
        padded = (*shape[:-1], math.ceil(shape[-1] / 8) * 8)
        return query.new_empty(padded)[..., : shape[-1]]
    # The memory-efficient kernel interleaves the heads, (B, S, H, D) in memory; the others follow the query.
    order = [0, 2, 1, 3]
    if backend != "efficient":
        strides = query.stride()
        order = sorted(range(4), key=lambda dim: (-strides[dim], dim))
    inverse = [order.index(dim) for dim in range(4)]
    return query.new_empty([shape[dim] for dim in order]).permute(inverse)
