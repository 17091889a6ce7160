"""Which kernel `scaled_dot_product_attention` runs on a GPU, and the layout of what it returns.

PyTorch chooses flash, memory-efficient or plain ("math") attention from dtype, mask and head size. The choice matters
twice: the kernels differ several-fold in cost, and flash returns heads interleaved (B, S, H, D in memory), so that the
`transpose(1, 2).contiguous()` that follows in every model is free, or is a copy.
"""

from __future__ import annotations

from typing import Literal

import torch

Backend = Literal["cudnn", "flash", "efficient", "math"]


def choose_backend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None
) -> Backend:
    """The backend that PyTorch picks by default on a Hopper GPU.

    Source: `torch._fused_sdp_choice` on an H200 with torch 2.11, over dtypes, masks, grouped heads and head sizes; the
    conditions are those of torch `aten/src/ATen/native/transformers/cuda/sdp_utils.cpp`.
    """
    half = query.dtype in (torch.float16, torch.bfloat16)
    sizes = (query.shape[-1], value.shape[-1])
    if query.dim() != 4 or min(query.shape[-2], key.shape[-2]) == 0:
        return "math"
    if half and max(sizes) <= 256 and all(size % 8 == 0 for size in sizes):
        return "cudnn"
    if half and mask is None and max(sizes) <= 256 and sizes[0] == sizes[1]:
        return "flash"
    grouped = query.shape[-3] != key.shape[-3]
    alignment = 8 if half else 4
    if not grouped and (half or query.dtype == torch.float32) and all(size % alignment == 0 for size in sizes):
        return "efficient"
    return "math"


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
    backend = choose_backend(query, key, value, attn_mask)
    shape = (*query.shape[:-1], value.shape[-1])
    if backend == "math" or len(shape) != 4:
        return query.new_empty(shape)
    if backend == "flash" and shape[-1] % 8:  # it pads the head to a multiple of 8 and returns a slice of that
        padded = (*shape[:-1], -(-shape[-1] // 8) * 8)
        return query.new_empty(padded)[..., : shape[-1]]
    # The memory-efficient kernel interleaves the heads, (B, S, H, D) in memory; the others follow the query.
    order = [0, 2, 1, 3]
    if backend != "efficient":
        order = sorted(range(4), key=lambda dim: (-query.stride(dim), dim))
    inverse = [order.index(dim) for dim in range(4)]
    return query.new_empty([shape[dim] for dim in order]).permute(inverse)
