"""Linear layers of weights in four bits or fewer, of 2:4 sparse ones, and experts in low precision."""

from __future__ import annotations

from typing import Any

import torch

from irene.errors import BadInput
from irene.variants.low_precision.by_bytes import four_bit_linear, lut_linear, pack_signs
from irene.variants.low_precision.four_bits import FORMATS, Parts
from irene.variants.low_precision.packed_linear import PackedLinear, require_multiple


class FourBitLinear(PackedLinear):
    """Four-bit weights dequantised into a product of 16 bits in every call; fused: one kernel, known by its bytes."""

    def __init__(self, like: torch.nn.Linear, stored: str, group: int, is_fused: bool) -> None:
        super().__init__(like)
        self.form, self.stored, self.is_fused = FORMATS[stored], stored, is_fused
        require_multiple(like, f"int4:{stored}", self.form.in_step, self.form.out_step)
        group = group if group > 0 else like.in_features  # -1: a scale for each output
        require_multiple(like, f"int4:{stored}", group)
        parts = self.form.pack(like.weight.detach(), group)
        self.parts = tuple(parts)
        self.keep(**parts)

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        parts: Parts = {name: getattr(self, name) for name in self.parts}
        if self.is_fused:
            names = " ".join(parts)
            fused: torch.Tensor = four_bit_linear(
                rows, list(parts.values()), self.bias, names, self.stored, self.out_features
            )
            return fused
        weight = self.form.unpack(parts, self.dtype, self.out_features)
        if not self.form.of_inputs:
            return torch.nn.functional.linear(rows, weight, self.bias)
        answer = torch.matmul(rows, weight)
        return answer if self.bias is None else answer + self.bias


class TorchInt4Linear(PackedLinear):
    """Torch's own fused product of four-bit weights, `_weight_int4pack_mm`: bfloat16, scales of 32 to 256 inputs."""

    INNER_TILES = 8

    def __init__(self, like: torch.nn.Linear, group: int) -> None:
        super().__init__(like)
        if group not in (32, 64, 128, 256) or like.weight.dtype != torch.bfloat16:
            raise BadInput("+int4:torch: wants bfloat16 weights and groups of 32, 64, 128 or 256 inputs.")
        require_multiple(like, "int4:torch", max(16 * self.INNER_TILES, group), 8)
        self.group = group
        weight = like.weight.detach()
        grouped = weight.float().view(len(weight), -1, group)
        low, high = grouped.amin(-1, keepdim=True), grouped.amax(-1, keepdim=True)
        scale = ((high - low) / 15).clamp(min=1e-6)
        codes = ((grouped - low) / scale).round().clamp(0, 15).to(torch.uint8).view(weight.shape)
        middle = low + 8 * scale  # what the kernel adds to (code - 8) scale
        both = torch.cat([scale, middle], dim=-1).transpose(0, 1).contiguous()  # (K / group, N, 2)
        self.keep(weight=self._pack(codes), scales_and_zeros=both.to(weight.dtype))

    def _pack(self, codes: torch.Tensor) -> torch.Tensor:
        n, k = codes.shape
        if codes.device.type == "cuda":
            halves = codes[:, ::2] << 4 | codes[:, 1::2]
            packed: torch.Tensor = torch._convert_weight_to_int4pack(halves, self.INNER_TILES)
            return packed
        shape = (n // 8, k // (16 * self.INNER_TILES), 32, self.INNER_TILES // 2)
        return torch.empty(shape, dtype=torch.int32, device=codes.device)  # the kernel is of GPUs alone

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        weight: Any = self.weight
        answer = torch._weight_int4pack_mm(rows, weight, self.group, self.scales_and_zeros)  # type: ignore[arg-type]
        return answer if self.bias is None else answer + self.bias


class LookedUpLinear(PackedLinear):
    """Weights as sums of `bits` scaled signs; sums of activations with signs are looked up. Known by its bytes."""

    def __init__(self, like: torch.nn.Linear, bits: int, group: int) -> None:
        super().__init__(like)
        require_multiple(like, "lut", max(group, 8))
        signs, scales = pack_signs(like.weight.detach(), bits, group)
        self.keep(signs=signs, scales=scales)

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = lut_linear(rows, self.signs, self.scales, self.bias)
        return answer


class SparseLinear(PackedLinear):
    """Two of every four weights, the largest, in torch's semi-structured kernel `_cslt_sparse_mm` of W and x^T.

    On no device but a GPU are values compressed; elsewhere the packed weight has its size alone.
    """

    def __init__(self, like: torch.nn.Linear) -> None:
        super().__init__(like)
        require_multiple(like, "sparse", 16, 16)
        pruned = prune_two_of_four(like.weight.detach())
        n, k = pruned.shape
        if pruned.device.type == "cuda":
            self.keep(packed=torch._cslt_compress(pruned))
        else:
            self.keep(packed=pruned.new_empty(n, k * 9 // 16))

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        missing = -len(rows) % 8
        filled = torch.nn.functional.pad(rows, (0, 0, 0, missing)) if missing else rows
        packed: Any = self.packed
        answer: torch.Tensor = torch._cslt_sparse_mm(packed, filled.t(), self.bias).t()
        return answer[: len(rows)] if missing else answer


def prune_two_of_four(weight: torch.Tensor) -> torch.Tensor:
    """The weight with the two smallest of every four along a row set to zero."""
    fours = weight.view(-1, 4)
    kept = torch.zeros_like(fours, dtype=torch.bool).scatter_(1, fours.abs().topk(2, dim=1).indices, True)
    return torch.where(kept, fours, torch.zeros_like(fours)).view(weight.shape)
