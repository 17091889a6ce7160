"""Kernels that torch does not have, as operators of our own: known by the bytes that they must move, and flagged.

On tensors with data they give what such a kernel would, by dequantising first; no time or energy of them was measured.
"""

from __future__ import annotations

import torch

from irene.variants.low_precision.four_bits import FORMATS


@torch.library.custom_op("irene::four_bit_linear", mutates_args=())
def four_bit_linear(
    x: torch.Tensor, parts: list[torch.Tensor], bias: torch.Tensor | None, names: str, stored: str, rows: int
) -> torch.Tensor:
    """(M, K) -> (M, rows): a product that unpacks four-bit weights as it goes (Marlin, bitsandbytes' gemv, MXFP4)."""
    form = FORMATS[stored]
    weight = form.unpack(dict(zip(names.split(), parts, strict=True)), x.dtype, rows)
    weight = weight.t() if form.of_inputs else weight
    return torch.nn.functional.linear(x, weight, bias)


@four_bit_linear.register_fake
def _(
    x: torch.Tensor, parts: list[torch.Tensor], bias: torch.Tensor | None, names: str, stored: str, rows: int
) -> torch.Tensor:
    return x.new_empty(len(x), rows)


@torch.library.custom_op("irene::lut_linear", mutates_args=())
def lut_linear(x: torch.Tensor, signs: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """(M, K) -> (M, N): sums of products with signs are looked up, not multiplied (nuQmm, LUT-GEMM)."""
    return torch.nn.functional.linear(x, unpack_signs(signs, scales, x.dtype), bias)


@lut_linear.register_fake
def _(x: torch.Tensor, signs: torch.Tensor, scales: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    return x.new_empty(len(x), signs.shape[1])


def pack_signs(weight: torch.Tensor, bits: int, group: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, K) -> signs (bits, N, K / 8) uint8 and scales (bits, N, G): the weight is their sum of products, greedily.

    Of what is left, the signs are its own, the scale is the mean of its sizes over a group.
    """
    left = weight.float().view(len(weight), -1, group)
    powers = 2 ** torch.arange(8, device=weight.device)
    signs, scales = [], []
    for _ in range(bits):
        scale, is_up = left.abs().mean(-1, keepdim=True), left >= 0
        left = left - torch.where(is_up, scale, -scale)
        signs.append((is_up.view(len(weight), -1, 8) * powers).sum(-1).to(torch.uint8))
        scales.append(scale.squeeze(-1).to(weight.dtype))
    return torch.stack(signs), torch.stack(scales)


def unpack_signs(signs: torch.Tensor, scales: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The weight (N, K) behind `pack_signs`."""
    places = torch.arange(8, device=signs.device, dtype=torch.uint8)
    ups = torch.bitwise_and(torch.bitwise_right_shift(signs.unsqueeze(-1), places), 1).flatten(-2)
    values = (2 * ups.to(dtype) - 1).view(*scales.shape, -1) * scales.to(dtype).unsqueeze(-1)
    return values.flatten(-2).sum(0)
