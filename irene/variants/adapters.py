"""Small learned parts beside frozen layers: low-rank updates and scaling vectors, apart or merged into the weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

import torch

from irene.errors import BadInput
from irene.variants.low_precision.packed_linear import PackedLinear
from irene.variants.registry import register_variant

AnyLinear: TypeAlias = torch.nn.Linear | PackedLinear

_KEYS, _VALUES = ("key", "k_proj", "k_lin", "k"), ("value", "v_proj", "v_lin", "v")
_QUERIES = ("query", "q_proj", "q_lin", "q")
_DOWN = ("down_proj", "fc2", "lin2", "wo", "dense_4h_to_h")  # the feed-forward's second product


class LowRank(torch.nn.Module):
    """W x + s B A x: `base` frozen, A (r, in) and B (out, r) learned, s = alpha / r."""

    stays_wide = ("a", "b")  # in low precision, the adapters beside it do

    def __init__(self, base: AnyLinear, rank: int, alpha: float) -> None:
        super().__init__()
        self.base, self.scale = base, alpha / rank
        self.a = torch.nn.Linear(base.in_features, rank, bias=False, **_kind_of(base))
        self.b = torch.nn.Linear(rank, base.out_features, bias=False, **_kind_of(base))
        torch.nn.init.zeros_(self.b.weight)  # so that training begins with the frozen model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        answer: torch.Tensor = self.base(x) + self.b(self.a(x)) * self.scale
        return answer


class Scaled(torch.nn.Module):
    """l * (W x), or W (l * x) with `before`: `base` frozen, the vector l learned.

    As PEFT does it, which multiplies the vectors of all active adapters first, one by itself too.
    """

    def __init__(self, base: AnyLinear, before: bool) -> None:
        super().__init__()
        self.base, self.before = base, before
        size = base.in_features if before else base.out_features
        self.l = torch.nn.Parameter(torch.ones(size, **_kind_of(base)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scale = 1 * self.l
        answer: torch.Tensor = self.base(x * scale) if self.before else self.base(x) * scale
        return answer


@register_variant("lora", "Hu et al., LoRA, arXiv 2106.09685", of_modules=True)
def lora(module: Any, rank: int = 8, alpha: float = 16.0, merged: str = "no") -> Any:
    """Low-rank updates beside the products of queries and values; merged into them they cost nothing."""
    if rank < 1:
        raise BadInput(f"+lora: the rank must be 1 or more, got {rank}.")
    found = list(_linears(module, (*_QUERIES, *_VALUES), "lora"))
    for parent, name, linear in [] if _is_merged(merged, "lora") else found:
        setattr(parent, name, LowRank(linear, rank, alpha))
    return module


@register_variant("ia3", "Liu et al., (IA)^3, arXiv 2205.05638", of_modules=True)
def ia3(module: Any, merged: str = "no") -> Any:
    """Keys, values and the inner feed-forward scaled by learned vectors; merged into the weights they cost nothing."""
    found = [(*at, False) for at in _linears(module, (*_KEYS, *_VALUES), "ia3")]
    found += [(*at, True) for at in _down_projections(module)]
    for parent, name, linear, before in [] if _is_merged(merged, "ia3") else found:
        setattr(parent, name, Scaled(linear, before))
    return module


def _kind_of(base: AnyLinear) -> dict[str, Any]:
    """The device of a layer, and the dtype that it computes in."""
    if isinstance(base, PackedLinear):
        return {"device": next(base.buffers()).device, "dtype": base.dtype}
    return {"device": base.weight.device, "dtype": base.weight.dtype}


def _is_merged(merged: str, name: str) -> bool:
    if merged not in ("yes", "no"):
        raise BadInput(f"+{name}: merged must be 'yes' or 'no', got {merged!r}.")
    return merged == "yes"


def _linears(module: Any, names: tuple[str, ...], variant: str) -> Iterator[tuple[Any, str, AnyLinear]]:
    """(parent, name, layer) of every linear layer of one of these names. Raises BadInput if there is none."""
    found = [
        (parent, name, child)
        for parent in module.modules()
        for name, child in parent.named_children()
        if name in names and isinstance(child, AnyLinear)
    ]
    if not found:
        raise BadInput(f"+{variant}: {type(module).__name__} has no linear layer named {', '.join(names[:4])}, ...")
    yield from found


def _down_projections(module: Any) -> Iterator[tuple[Any, str, AnyLinear]]:
    """The second products of feed-forwards: by name, or as BERT has them, whose `dense` narrows the inner size."""
    for parent in module.modules():
        for name, child in parent.named_children():
            is_narrowing = isinstance(child, AnyLinear) and child.in_features > child.out_features
            if is_narrowing and (name in _DOWN or (name == "dense" and hasattr(parent, "LayerNorm"))):
                yield parent, name, child
