"""What stands beside products in low precision: activations quantised, results scaled, weights unpacked.

Libraries have kernels that do some of these in one pass; these are the operators that torch has without them.
"""

from __future__ import annotations

import torch

FP8 = torch.float8_e4m3fn
FP8_MOST = 448.0  # the largest finite value
BLOCK = 128  # rows and columns that share a scale in DeepSeek-V3's weights; columns in activations
_LEAST = 1e-12  # of a scale: a row of zeros stays zeros


def quantise_fp8(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(M, K) -> e4m3 values, and a float32 scale for each row, (M, 1)."""
    scale = x.abs().amax(dim=-1, keepdim=True).float() / FP8_MOST
    return (x / scale.clamp(min=_LEAST)).clamp(-FP8_MOST, FP8_MOST).to(FP8), scale


def quantise_fp8_whole(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As `quantise_fp8`, with one scale for all, ()."""
    scale = x.abs().amax().float() / FP8_MOST
    return (x / scale.clamp(min=_LEAST)).clamp(-FP8_MOST, FP8_MOST).to(FP8), scale


def quantise_fp8_blocks(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """As `quantise_fp8`, with a scale for every 128 columns of a row, (M, K / 128), laid out along the rows."""
    values, scale = quantise_fp8(x.view(len(x), -1, BLOCK))
    return values.view(x.shape), scale.squeeze(-1).t().contiguous().t()


def quantise_int8(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(M, K) -> int8 values in -127 .. 127, and a scale for each row, (M, 1), in the dtype of x."""
    scale = x.abs().amax(dim=-1, keepdim=True) / 127.0
    return (x / scale.clamp(min=_LEAST)).round().clamp(-127, 127).to(torch.int8), scale


def scale_result(product: torch.Tensor, x_scale: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(M, N) products of whole numbers times the scales of rows and of columns, in `dtype`."""
    return (product * x_scale * scale).to(dtype)


def dequantise(weight: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """(N, K) values times their scales, (N, 1), in `dtype`."""
    return weight.to(dtype) * scale.to(dtype)


def dequantise_groups(values: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """(N, K) values times scales of groups, (N, G, 1), in the scales' dtype."""
    grouped = values.view(scale.shape[0], scale.shape[1], -1)
    return (grouped * scale).view(values.shape)


def unpack_int4(packed: torch.Tensor, shifts: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """(N, K / 8) int32 of eight four-bit values, lowest first -> (N, K): (value - 8) times its scale, (N, G, 1)."""
    values = torch.bitwise_and(torch.bitwise_right_shift(packed.unsqueeze(-1), shifts), 15)
    grouped = (values - 8).to(scale.dtype).view(scale.shape[0], scale.shape[1], -1)
    return (grouped * scale).view(scale.shape[0], -1)


def look_up(packed: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Bytes of two four-bit codes, the first in the low half -> the values of the codes, (..., 2)."""
    low, high = torch.bitwise_and(packed, 15), torch.bitwise_right_shift(packed, 4)
    return values[torch.stack([low, high], dim=-1).to(torch.int64)]
