"""Experts in low precision, of the library's mixtures that keep theirs in two tensors for all: fp8 and four bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.utils import parametrize

from irene.variants.low_precision.four_bits import FORMATS
from irene.variants.low_precision.packed_linear import is_kept
from irene.variants.low_precision.passes import quantise_fp8

_STACKED = ("gate_up_proj", "down_proj")


class Float8Experts(torch.nn.Module):
    """Rows sorted by expert, quantised row by row, and `_scaled_grouped_mm`, twice; a gate between.

    Torch has no grouped product with scales of blocks: weights have one for each output of each expert.
    """

    def __init__(self, experts: Any) -> None:
        super().__init__()
        self.gate: Any = experts._apply_gate
        self.count = experts.gate_up_proj.shape[0]
        for name in _STACKED:
            weight = getattr(experts, name).detach()
            values, scale = quantise_fp8(weight.transpose(-2, -1) if experts.is_transposed else weight)
            self.register_buffer(name, values)
            self.register_buffer(f"{name}_scale", scale.squeeze(-1))
            delattr(experts, name)  # the gate is a method of it

    def forward(self, hidden: torch.Tensor, chosen: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        rows, k = hidden.shape[0], chosen.shape[-1]
        experts, order = torch.sort(chosen.reshape(-1))
        x, weights = hidden[order // k], shares.reshape(-1)[order]
        counted = experts.float() if experts.device.type == "cpu" else experts.int()
        loads = torch.histc(counted, bins=self.count, min=0, max=self.count - 1)
        ends = torch.cumsum(loads, dim=0, dtype=torch.int32)
        inner = self.gate(self._multiply(x, "gate_up_proj", ends))
        made = self._multiply(inner, "down_proj", ends) * weights[:, None]
        back = torch.empty_like(order)
        back[order] = torch.arange(len(order), device=order.device)
        return made[back].view(rows, k, -1).sum(dim=1).to(hidden.dtype)

    def _multiply(self, x: torch.Tensor, name: str, ends: torch.Tensor) -> torch.Tensor:
        values, scale = quantise_fp8(x)
        weight, weight_scale = getattr(self, name), getattr(self, f"{name}_scale")
        answer: torch.Tensor = torch._scaled_grouped_mm(
            values, weight.transpose(-2, -1), scale.squeeze(-1), weight_scale, ends, out_dtype=x.dtype
        )
        return answer


class Unpacked(torch.nn.Module):
    """A tensor of experts (E, ...) that is stored in four bits and unpacked in every call: a parametrisation."""

    def __init__(self, stored: str, group: int, is_transposed: bool, like: torch.Tensor) -> None:
        super().__init__()
        self.form, self.group, self.is_transposed = FORMATS[stored], group, is_transposed
        self.dtype, self.shape = like.dtype, like.shape
        self.names: tuple[str, ...] = ()

    def right_inverse(self, weight: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows = weight.transpose(-2, -1) if self.is_transposed else weight
        parts = self.form.pack(rows.reshape(-1, rows.shape[-1]), self.group)
        self.names = tuple(parts)
        return tuple(parts.values())

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        count, *rest = self.shape
        rows = count * (rest[1] if self.is_transposed else rest[0])
        flat = self.form.unpack(dict(zip(self.names, parts, strict=True)), self.dtype, rows)
        flat = flat.t() if self.form.of_inputs else flat
        weight = flat.reshape(count, -1, flat.shape[-1])
        return weight.transpose(-2, -1).contiguous() if self.is_transposed else weight


def experts_of(module: Any, kept: Sequence[str] = ()) -> list[tuple[Any, str, Any]]:
    """(parent, name, experts) of every mixture that keeps its experts in two tensors."""
    return [
        (parent, name, child)
        for path, parent in module.named_modules()
        for name, child in parent.named_children()
        if all(getattr(getattr(child, each, None), "ndim", 0) == 3 for each in _STACKED)
        and not is_kept(f"{path}.{name}" if path else name, kept)
    ]


def pack_experts(module: Any, stored: str, group: int, kept: Sequence[str] = ()) -> int:
    """Store the experts of a module in four bits; how many mixtures there were."""
    found = experts_of(module, kept)
    for _, _, experts in found:
        for name in _STACKED:
            weight = getattr(experts, name).detach()
            delattr(experts, name)
            experts.register_buffer(name, weight)  # parts that are whole numbers cannot be parameters
            parametrize.register_parametrization(
                experts, name, Unpacked(stored, group, experts.is_transposed, weight), unsafe=True
            )
    return len(found)


def narrow_experts(module: Any, kept: Sequence[str] = ()) -> int:
    """Give the experts of a module eight bits; how many mixtures there were."""
    found = experts_of(module, kept)
    for parent, name, experts in found:
        setattr(parent, name, Float8Experts(experts))
    return len(found)
