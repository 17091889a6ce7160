"""Several feed-forwards of which each token meets one or two: mixtures of experts with a fixed capacity."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from irene.errors import BadInput, UnknownName
from irene.variants.feed_forwards import FeedForward, find_feed_forwards
from irene.variants.registry import register_variant

# Experts and choices of a token in the papers: Switch-Base, GLaM (64B/64E), DeepSpeed's 350M + PR-MoE-32/64.
_KINDS = {"switch": (128, 1), "glam": (64, 2), "pr-moe": (32, 1)}
_LATE = 2  # of a pyramid, the last layers with twice as many experts


class Experts(torch.nn.Module):
    """Rows (E, C, d) -> (E, C, d): of each expert e, W_2e a(W_1e x + b_1e) + b_2e, or gated as its model's are."""

    def __init__(self, count: int, like: FeedForward) -> None:
        super().__init__()
        options: dict[str, Any] = {"device": like.example.device, "dtype": like.example.dtype}
        width, inner = like.width, like.inner
        self.activation = like.activation
        self.w1 = torch.nn.Parameter(torch.randn(count, width, inner, **options) / math.sqrt(width))
        self.w2 = torch.nn.Parameter(torch.randn(count, inner, width, **options) / math.sqrt(inner))
        self.gate: Any = None
        if like.is_gated:
            self.gate = torch.nn.Parameter(torch.randn(count, width, inner, **options) / math.sqrt(width))
        has_bias = like.has_bias and not like.is_gated
        self.b1: Any = torch.nn.Parameter(torch.zeros(count, 1, inner, **options)) if has_bias else None
        self.b2: Any = torch.nn.Parameter(torch.zeros(count, 1, width, **options)) if has_bias else None

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        if self.b1 is not None:
            return torch.baddbmm(self.b2, self.activation(torch.baddbmm(self.b1, rows, self.w1)), self.w2)
        inner = torch.bmm(rows, self.w1)
        inner = self.activation(inner) if self.gate is None else self.activation(torch.bmm(rows, self.gate)) * inner
        return torch.bmm(inner, self.w2)


class Mixture(torch.nn.Module):
    """(..., d) -> (..., d): sum of p_e(x) E_e(x) over the k most probable experts, p = softmax(W_r x) in float32.

    Each expert takes at most C = ceil(capacity k T / E) of the T tokens, first choices first, then in order; what is
    over is dropped: it gives 0, and the residual around carries it on. With k > 1 the chosen p sum to 1.
    """

    stays_wide = ("router",)

    def __init__(self, count: int, chosen: int, capacity: float, like: FeedForward) -> None:
        super().__init__()
        self.count, self.chosen, self.capacity = count, chosen, capacity
        self.router = torch.nn.Linear(like.width, count, False, like.example.device, torch.float32)
        self.experts = Experts(count, like)

    def forward(self, x: torch.Tensor, *_: Any) -> torch.Tensor:
        tokens = x.reshape(-1, x.shape[-1])
        total, width = tokens.shape
        shares, experts = torch.softmax(self.router(tokens.float()), dim=-1).topk(self.chosen, dim=-1)
        if self.chosen > 1:
            shares = shares / shares.sum(dim=-1, keepdim=True)
        slots, capacity = self._place(experts.t().reshape(-1), total)
        buffer = tokens.new_zeros(self.count * capacity + 1, width)  # the last row is for what is over
        buffer[slots] = tokens.repeat(self.chosen, 1)
        made = self.experts(buffer[:-1].view(self.count, capacity, width))
        made = torch.cat([made.reshape(-1, width), made.new_zeros(1, width)])
        parts = made[slots].view(self.chosen, total, width) * shares.t().to(made.dtype)[..., None]
        return parts.sum(dim=0).reshape(x.shape)

    def _place(self, experts: torch.Tensor, total: int) -> tuple[torch.Tensor, int]:
        """The row of the buffer for each choice, (k T,), and the rows that each expert has."""
        capacity = min(math.ceil(self.capacity * self.chosen * total / self.count), self.chosen * total)
        taken = torch.nn.functional.one_hot(experts, self.count)
        place = (taken.cumsum(dim=0) * taken).sum(dim=-1) - 1
        slots = experts * capacity + place
        return torch.where(place < capacity, slots, self.count * capacity), capacity


class ResidualMixture(torch.nn.Module):
    """c_0 MLP(x) + c_1 MoE(x), c = softmax(W_c x): every token meets a dense feed-forward and one expert beside it."""

    stays_wide = ("coefficient",)

    def __init__(self, mixture: Mixture, like: FeedForward) -> None:
        super().__init__()
        self.mixture = mixture
        self.dense = Experts(1, like)
        self.coefficient = torch.nn.Linear(like.width, 2, True, like.example.device, like.example.dtype)

    def forward(self, x: torch.Tensor, *_: Any) -> torch.Tensor:
        weights = torch.softmax(self.coefficient(x), dim=-1)
        dense = self.dense(x.reshape(1, -1, x.shape[-1])).reshape(x.shape)
        answer: torch.Tensor = dense * weights[..., 0:1] + self.mixture(x) * weights[..., 1:]
        return answer


class Gated(torch.nn.Module):
    """W_2 a(W_1 x * V x): GLaM's dense feed-forward, a gated linear unit followed by the activation."""

    def __init__(self, like: FeedForward) -> None:
        super().__init__()
        options: dict[str, Any] = {"bias": False, "device": like.example.device, "dtype": like.example.dtype}
        self.w1 = torch.nn.Linear(like.width, like.inner, **options)
        self.v = torch.nn.Linear(like.width, like.inner, **options)
        self.w2 = torch.nn.Linear(like.inner, like.width, **options)
        self.activation: Callable[[torch.Tensor], torch.Tensor] = like.activation

    def forward(self, x: torch.Tensor, *_: Any) -> torch.Tensor:
        answer: torch.Tensor = self.w2(self.activation(self.w1(x) * self.v(x)))
        return answer


_SOURCES = (
    "Fedus et al., Switch Transformers, arXiv 2101.03961; Du et al., GLaM, arXiv 2112.06905; "
    "Rajbhandari et al., DeepSpeed-MoE, arXiv 2201.05596"
)


@register_variant("moe", _SOURCES, of_modules=True)
def moe(module: Any, kind: str = "switch", experts: int = 0, k: int = 0, capacity: float = 1.25) -> Any:
    """Experts in every second layer; kind switch, glam or pr-moe; experts and k 0: as many as in its paper."""
    if kind not in _KINDS:
        raise UnknownName("kind of experts", kind, _KINDS)
    count, chosen = experts or _KINDS[kind][0], k or _KINDS[kind][1]
    if count < 1 or not 1 <= chosen <= count or not 0 < capacity < math.inf:
        raise BadInput(
            f"+moe: expected 1 <= k <= experts and a capacity above 0, got k {chosen} of {count} experts, {capacity}."
        )
    found = find_feed_forwards(module)
    if not found:
        raise BadInput(f"+moe: {type(module).__name__} has no feed-forward that experts could replace.")
    sparse = found[1::2] or found  # of a single layer, that one
    for number, place in enumerate(sparse):
        is_late = kind == "pr-moe" and number >= len(sparse) - _LATE and len(sparse) > _LATE
        mixture = Mixture(count * 2 if is_late else count, chosen, capacity, place)
        place.replace(ResidualMixture(mixture, place) if kind == "pr-moe" else mixture)
    for place in found[0::2] if kind == "glam" and len(found) > 1 else ():
        if not place.is_gated:
            place.replace(Gated(place))
    return module
