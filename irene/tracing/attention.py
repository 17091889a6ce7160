"""Which kernel `scaled_dot_product_attention` runs on a GPU, and the layout of what it returns.

PyTorch chooses flash, memory-efficient or plain ("math") attention from dtype, mask and head size. The choice matters
twice: the kernels differ several-fold in cost, and flash returns heads interleaved (B, S, H, D in memory), so that the
`transpose(1, 2).contiguous()` that follows in every model is free, or is a copy.
"""

from __future__ import annotations

from typing import Literal

import torch

Backend = Literal["flash", "efficient", "math"]


def choose_backend(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor | None
) -> Backend:
    """The backend that PyTorch picks by default on an NVIDIA GPU of compute capability 8.0 or later.

    Source: the checks of torch `aten/src/ATen/native/transformers/cuda/sdp_utils.cpp` (flash: float16 or bfloat16, no
    mask, head sizes equal and at most 256; memory-efficient: no grouped heads), confirmed by `torch._fused_sdp_choice`.
    """
    half = query.dtype in (torch.float16, torch.bfloat16)
    if query.dim() != 4 or min(query.shape[-2], key.shape[-2]) == 0:
        return "math"
    grouped = query.shape[-3] != key.shape[-3]
    if half and mask is None and query.shape[-1] <= 256 and query.shape[-1] == value.shape[-1]:
        return "flash"
    alignment = 8 if half else 4
    aligned = query.shape[-1] % alignment == 0 and value.shape[-1] % alignment == 0
    if not grouped and aligned and query.dtype in (torch.float16, torch.bfloat16, torch.float32):
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
    *batch, q_len, _ = query.shape
    if backend == "math" or len(batch) != 2:
        return query.new_empty((*batch, q_len, value.shape[-1]))
    samples, heads = batch
    return query.new_empty((samples, q_len, heads, value.shape[-1])).transpose(1, 2)
