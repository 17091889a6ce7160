"""Weights of four bits as checkpoints store them, and back: GPTQ, AWQ, compressed-tensors, nf4 and mxfp4.

Sources: GPTQModel and AutoAWQ (their torch fallbacks), compressed-tensors `pack_to_int32`, Dettmers et al., QLoRA
(arXiv 2305.14314, appendix E) for nf4, and the OCP Microscaling Formats (MX) specification 1.0 for mxfp4.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from irene.variants.low_precision.passes import look_up, unpack_int4

Parts = dict[str, torch.Tensor]
_AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # which of eight neighbours lies where in an int32, lowest first
_NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
_FP4 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)


@dataclass(frozen=True, slots=True)
class Format:
    """How a weight (N, K) is stored: `pack` makes its parts, `unpack` the weight of N rows again in a dtype.

    `group` inputs share a scale unless told otherwise; sizes are multiples of `in_step` and `out_step`. `of_inputs`
    says that `unpack` gives it as (K, N).
    """

    pack: Callable[[torch.Tensor, int], Parts]
    unpack: Callable[[Parts, torch.dtype, int], torch.Tensor]
    group: int
    in_step: int = 8
    out_step: int = 1
    of_inputs: bool = False


def _quantise_groups(weight: torch.Tensor, group: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(N, K) -> codes 0 .. 15 (N, K), scales and zeros (N, G): weight = (code - zero) scale."""
    grouped = weight.float().view(len(weight), -1, group)
    low, high = grouped.amin(-1).clamp(max=0), grouped.amax(-1).clamp(min=0)
    scale = ((high - low) / 15).clamp(min=1e-12)
    zero = (-low / scale).round().clamp(0, 15)
    codes = (grouped / scale[..., None]).round() + zero[..., None]
    return codes.clamp(0, 15).to(torch.int32).view(weight.shape), scale, zero.to(torch.int32)


def _join(codes: torch.Tensor) -> torch.Tensor:
    """(..., 8) codes of four bits -> (...) int32, the first lowest."""
    shifts = torch.arange(0, 32, 4, dtype=torch.int32, device=codes.device)
    return torch.bitwise_left_shift(codes, shifts).sum(-1, dtype=torch.int32)


def _shifts(like: torch.Tensor) -> torch.Tensor:
    return torch.arange(0, 32, 4, dtype=torch.int32, device=like.device)


def _pack_gptq(weight: torch.Tensor, group: int) -> Parts:
    codes, scale, zero = _quantise_groups(weight, group)
    n, k = weight.shape
    return {
        "qweight": _join(codes.t().reshape(k // 8, 8, n).transpose(1, 2)),
        "qzeros": _join(zero.t().reshape(k // group, n // 8, 8)),
        "scales": scale.t().to(weight.dtype).contiguous(),
        "g_idx": torch.arange(k, dtype=torch.int32, device=weight.device) // group,
        "shifts": _shifts(weight),
    }


def _unpack_gptq(parts: Parts, dtype: torch.dtype, rows: int) -> torch.Tensor:
    shifts, scales = parts["shifts"], parts["scales"].to(dtype)
    zeros = torch.bitwise_and(torch.bitwise_right_shift(parts["qzeros"].unsqueeze(2), shifts), 15)
    codes = torch.bitwise_and(torch.bitwise_right_shift(parts["qweight"].unsqueeze(1), shifts[:, None]), 15)
    codes = codes.reshape(-1, scales.shape[1])
    groups = parts["g_idx"].long()
    return scales[groups] * (codes - zeros.reshape(scales.shape)[groups])


def _pack_awq(weight: torch.Tensor, group: int) -> Parts:
    codes, scale, zero = _quantise_groups(weight, group)
    order = torch.tensor(_AWQ_ORDER, device=weight.device)
    n, k = weight.shape
    return {
        "qweight": _join(codes.t().reshape(k, n // 8, 8)[..., order]),
        "qzeros": _join(zero.t().reshape(k // group, n // 8, 8)[..., order]),
        "scales": scale.t().to(weight.dtype).contiguous(),
        "shifts": _shifts(weight),
        "order": torch.argsort(order),
    }


def _unpack_awq(parts: Parts, dtype: torch.dtype, rows: int) -> torch.Tensor:
    scales, order = parts["scales"].to(dtype), parts["order"]

    def spread(packed: torch.Tensor) -> torch.Tensor:
        codes = torch.bitwise_and(torch.bitwise_right_shift(packed.unsqueeze(-1), parts["shifts"]), 15)
        return codes[..., order].reshape(len(packed), -1)

    codes, zeros = spread(parts["qweight"]), spread(parts["qzeros"])
    repeats = len(codes) // len(scales)
    zeros, scales = zeros.repeat_interleave(repeats, dim=0), scales.repeat_interleave(repeats, dim=0)
    return (codes - zeros) * scales


def _pack_groups(weight: torch.Tensor, group: int) -> Parts:
    grouped = weight.float().view(len(weight), -1, group)
    scale = (grouped.abs().amax(-1, keepdim=True) / 7).clamp(min=1e-12)
    codes = ((grouped / scale).round().clamp(-8, 7) + 8).to(torch.int32).view(len(weight), -1, 8)
    return {"weight_packed": _join(codes), "weight_scale": scale.to(weight.dtype), "shifts": _shifts(weight)}


def _unpack_groups(parts: Parts, dtype: torch.dtype, rows: int) -> torch.Tensor:
    return unpack_int4(parts["weight_packed"], parts["shifts"], parts["weight_scale"].to(dtype))


def _nearest(values: torch.Tensor, table: tuple[float, ...]) -> torch.Tensor:
    """The place in `table` of the entry that is nearest to each value, uint8."""
    ordered = sorted(range(len(table)), key=table.__getitem__)
    entries = torch.tensor([table[at] for at in ordered], device=values.device)
    places = torch.bucketize(values, (entries[1:] + entries[:-1]) / 2)
    return torch.tensor(ordered, dtype=torch.uint8, device=values.device)[places]


def _pair(codes: torch.Tensor) -> torch.Tensor:
    """(..., 2 n) codes -> (..., n) bytes, the first of two in the low half."""
    return codes[..., 0::2] | codes[..., 1::2] << 4


def _pack_nf4(weight: torch.Tensor, group: int) -> Parts:
    blocks = weight.float().view(-1, group)
    largest = blocks.abs().amax(-1, keepdim=True).clamp(min=1e-12)
    return {
        "weight": _pair(_nearest(blocks / largest, _NF4)),
        "absmax": largest,
        "code": torch.tensor(_NF4, dtype=weight.dtype, device=weight.device),
    }


def _unpack_nf4(parts: Parts, dtype: torch.dtype, rows: int) -> torch.Tensor:
    blocks = look_up(parts["weight"], parts["code"].to(dtype)).flatten(1) * parts["absmax"].to(dtype)
    return blocks.view(rows, -1)


def _pack_nf4_double(weight: torch.Tensor, group: int) -> Parts:
    """As nf4, its scales in eight bits: less their mean, 256 of them share a float32 scale."""
    parts = _pack_nf4(weight, group)
    scales = parts.pop("absmax").flatten()
    mean = scales.mean()
    rows = torch.nn.functional.pad(scales - mean, (0, -len(scales) % 256)).view(-1, 256)
    nested = rows.abs().amax(-1, keepdim=True).clamp(min=1e-12)
    table = torch.linspace(-1, 1, 256, device=weight.device)
    codes = ((rows / nested + 1) * 127.5).round().to(torch.uint8).flatten()[: len(scales)]
    return parts | {"absmax": codes, "nested_absmax": nested, "nested_code": table, "mean": mean}


def _unpack_nf4_double(parts: Parts, dtype: torch.dtype, rows: int) -> torch.Tensor:
    values = parts["nested_code"][parts["absmax"].long()]
    groups = torch.nn.functional.pad(values, (0, -len(values) % 256)).view(-1, 256)
    scales = (groups * parts["nested_absmax"]).flatten()[: len(values)] + parts["mean"]
    blocks = look_up(parts["weight"], parts["code"].to(dtype)).flatten(1) * scales.to(dtype)[:, None]
    return blocks.view(rows, -1)


def _pack_mxfp4(weight: torch.Tensor, group: int) -> Parts:
    blocks = weight.float().view(*weight.shape[:-1], -1, group)
    largest = blocks.abs().amax(-1).clamp(min=2.0**-120)
    exponent = torch.floor(torch.log2(largest)) - 2  # of e2m1's largest power, 4
    codes = _nearest(blocks / torch.exp2(exponent)[..., None], _FP4)
    code = torch.tensor(_FP4, dtype=weight.dtype, device=weight.device)
    return {"blocks": _pair(codes), "scales": (exponent + 127).to(torch.uint8), "code": code}


def _unpack_mxfp4(parts: Parts, dtype: torch.dtype, rows: int) -> torch.Tensor:
    values = look_up(parts["blocks"], parts["code"].to(dtype)).flatten(-2)
    return torch.ldexp(values, parts["scales"].to(torch.int32)[..., None] - 127).to(dtype).flatten(-2)


FORMATS: dict[str, Format] = {
    "gptq": Format(_pack_gptq, _unpack_gptq, 128, out_step=8, of_inputs=True),
    "awq": Format(_pack_awq, _unpack_awq, 128, out_step=8, of_inputs=True),
    "groups": Format(_pack_groups, _unpack_groups, 128),
    "nf4": Format(_pack_nf4, _unpack_nf4, 64, in_step=2),
    "nf4-double": Format(_pack_nf4_double, _unpack_nf4_double, 64, in_step=2),
    "mxfp4": Format(_pack_mxfp4, _unpack_mxfp4, 32, in_step=32),
}  # fmt: skip
