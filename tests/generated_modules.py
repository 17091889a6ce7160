"""Modules put together at random from layers of every kind: nests, dtypes, layouts and masks, the same for a seed.

Every part takes and returns (batch, length, width), so that any part fits after, beside and around any other.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

Function = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Case:
    """A module and its input; `dtype` is that of both, `twin` a float32 copy of the input for a run on the CPU."""

    name: str
    module: nn.Module
    x: torch.Tensor
    twin: torch.Tensor


class Apply(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(x)


class Around(nn.Module):
    """Layers with something before and after each: a layout, a state that is left out."""

    def __init__(self, layer: nn.Module, before: Function, after: Callable[[object], torch.Tensor]) -> None:
        super().__init__()
        self.layer, self.before, self.after = layer, before, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.after(self.layer(self.before(x)))


class Residual(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.inner(x)


class Branches(nn.Module):
    def __init__(self, branches: list[nn.Module], width: int) -> None:
        super().__init__()
        self.branches, self.join = nn.ModuleList(branches), nn.Linear(width * len(branches), width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.join(torch.cat([branch(x) for branch in self.branches], dim=-1))


class Shared(nn.Module):
    """The same module again and again."""

    def __init__(self, inner: nn.Module, times: int) -> None:
        super().__init__()
        self.inner, self.times = inner, times

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(self.times):
            x = self.inner(x)
        return x


class Attention(nn.Module):
    """torch's attention over heads, grouped, masked or causal."""

    def __init__(self, width: int, heads: int, mask: str, is_grouped: bool) -> None:
        super().__init__()
        self.heads, self.mask, self.kv_heads = heads, mask, heads // 2 if is_grouped else heads
        self.size = width // heads
        self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * self.kv_heads * self.size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q = self.q(x).view(batch, length, self.heads, self.size).transpose(1, 2)
        k, v = self.kv(x).view(batch, length, 2, self.kv_heads, self.size).permute(2, 0, 3, 1, 4)
        mask = None
        if self.mask == "boolean":
            mask = torch.ones(length, length, dtype=torch.bool, device=x.device).tril()
        elif self.mask == "additive":
            mask = torch.zeros(batch, 1, length, length, dtype=x.dtype, device=x.device)
        y = functional.scaled_dot_product_attention(
            q, k, v, mask, is_causal=self.mask == "causal", enable_gqa=self.kv_heads != self.heads
        )
        return y.transpose(1, 2).reshape(batch, length, width)


def make_case(seed: int) -> Case:
    """The case of a seed.

    >>> make_case(3).name == make_case(3).name
    True
    """
    rng = random.Random(seed)
    torch.manual_seed(seed)
    width = rng.choice((32, 64, 128))
    parts = [_make_part(rng, width, depth=0) for _ in range(rng.randint(1, 3))]
    dtype = rng.choice((torch.float32, torch.bfloat16, torch.float16))
    twin = torch.rand(rng.choice((1, 2, 8)), rng.choice((16, 64)), width)
    if rng.random() < 0.3:  # another layout
        twin = twin.transpose(0, 1).contiguous().transpose(0, 1)
    module = nn.Sequential(*[part for _, part in parts]).eval()
    return Case(f"{seed} {str(dtype)[6:]} " + ", ".join(name for name, _ in parts), module, twin.to(dtype), twin)


def _make_part(rng: random.Random, width: int, depth: int) -> tuple[str, nn.Module]:
    if depth < 2 and rng.random() < 0.35:
        name, inner = _make_part(rng, width, depth + 1)
        kind = rng.choice(("residual", "branches", "shared", "sequence"))
        if kind == "residual":
            return f"residual({name})", Residual(inner)
        if kind == "shared":
            return f"shared({name})", Shared(inner, 2)
        other, second = _make_part(rng, width, depth + 1)
        if kind == "branches":
            return f"branches({name}, {other})", Branches([inner, second], width)
        return f"sequence({name}, {other})", nn.Sequential(inner, second)
    name = rng.choice(sorted(_LAYERS))
    return name, _LAYERS[name](rng, width)


def _swapped(layer: nn.Module) -> nn.Module:
    """A layer over (batch, channels, length)."""
    return Around(layer, lambda x: x.transpose(1, 2), lambda y: y.transpose(1, 2))


def _imaged(layer: nn.Module, channels_last: bool) -> nn.Module:
    """A layer over (batch, channels, length, 1), in either memory format."""

    def before(x: torch.Tensor) -> torch.Tensor:
        image = x.transpose(1, 2).unsqueeze(-1)
        return image.contiguous(memory_format=torch.channels_last) if channels_last else image.contiguous()

    return Around(layer, before, lambda y: y.squeeze(-1).transpose(1, 2))


def _stateful(kind: type[nn.RNNBase], rng: random.Random, width: int) -> nn.Module:
    both = rng.random() < 0.5
    layer = kind(
        width, width // 2 if both else width, num_layers=rng.randint(1, 2), bidirectional=both, batch_first=True
    )
    return Around(layer, lambda x: x, lambda y: y[0])


def _attend(rng: random.Random, width: int) -> nn.Module:
    return Attention(width, 4, rng.choice(("", "causal", "boolean", "additive")), rng.random() < 0.4)


def _square(function: Function) -> Callable[[random.Random, int], nn.Module]:
    """A function of (width, width) matrices, made well conditioned, applied to the last two dimensions in float32."""

    def apply(x: torch.Tensor) -> torch.Tensor:
        full = x.float()
        gram = full.transpose(1, 2) @ full + torch.eye(x.shape[-1], device=x.device)
        return (full @ function(gram)).to(x.dtype)

    return lambda rng, width: Apply(apply)


_LAYERS: dict[str, Callable[[random.Random, int], nn.Module]] = {
    "linear": lambda rng, width: nn.Linear(width, width, bias=rng.random() < 0.5),
    "feed forward": lambda rng, width: nn.Sequential(
        nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
    ),
    "gated": lambda rng, width: nn.Sequential(nn.Linear(width, 2 * width), nn.GLU()),
    "layer norm": lambda rng, width: nn.LayerNorm(width),
    "rms norm": lambda rng, width: nn.RMSNorm(width),
    "group norm": lambda rng, width: _swapped(nn.GroupNorm(4, width)),
    "batch norm": lambda rng, width: _swapped(nn.BatchNorm1d(width)),
    "activation": lambda rng, width: rng.choice((nn.ReLU, nn.SiLU, nn.Tanh, nn.Mish, nn.Hardswish, nn.ELU))(),
    "convolution": lambda rng, width: _swapped(nn.Conv1d(width, width, 3, padding=1, groups=rng.choice((1, 4, width)))),
    "image convolution": lambda rng, width: _imaged(
        nn.Conv2d(width, width, (3, 1), padding=(1, 0), groups=rng.choice((1, width))), rng.random() < 0.5
    ),
    "transposed convolution": lambda rng, width: _swapped(nn.ConvTranspose1d(width, width, 3, padding=1)),
    "pool": lambda rng, width: _swapped(rng.choice((nn.AvgPool1d, nn.MaxPool1d))(3, stride=1, padding=1)),
    "lstm": lambda rng, width: _stateful(nn.LSTM, rng, width),
    "gru": lambda rng, width: _stateful(nn.GRU, rng, width),
    "rnn": lambda rng, width: _stateful(nn.RNN, rng, width),
    "attention": _attend,
    "softmax": lambda rng, width: nn.Softmax(dim=rng.choice((-1, 1))),
    "product with itself": lambda rng, width: Apply(lambda x: torch.bmm(torch.bmm(x, x.transpose(1, 2)), x)),
    "einsum": lambda rng, width: Apply(lambda x: torch.einsum("btd,bsd,bse->bte", x, x, x)),
    "chain": lambda rng, width: Apply(lambda x: torch.linalg.multi_dot([x[0], x[0].T, x[0]]).expand_as(x)),
    "power": _square(lambda gram: torch.linalg.matrix_power(gram, 3)),
    "inverse": _square(torch.linalg.inv),
    "cholesky": _square(lambda gram: torch.linalg.cholesky_ex(gram).L),  # whatever the numbers are
    "eigenvectors": _square(lambda gram: torch.linalg.eigh(gram).eigenvectors),
    "transform": lambda rng, width: Apply(lambda x: torch.fft.fft2(x.float()).real.to(x.dtype)),
    "distances": lambda rng, width: Apply(lambda x: torch.cdist(x.float(), x.float()).to(x.dtype) @ x),
    "sort": lambda rng, width: Apply(lambda x: x.sort(dim=-1).values),
    "largest": lambda rng, width: Apply(lambda x: x.masked_fill(x < x.topk(4, dim=-1).values[..., -1:], 0.0)),
    "running sum": lambda rng, width: Apply(lambda x: x.cumsum(1)),
    "roll": lambda rng, width: Apply(lambda x: x.roll(1, 1)),
    "window": lambda rng, width: Apply(lambda x: functional.pad(x, (0, 0, 2, 0)).unfold(1, 3, 1).mean(-1)),
    "upsampling": lambda rng, width: Apply(
        lambda x: functional.interpolate(x.transpose(1, 2), scale_factor=2.0)[..., ::2].transpose(1, 2)
    ),
}
