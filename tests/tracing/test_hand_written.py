"""Models that nobody's library made: GPT in a page, convolution with attention, nested outputs, reused modules."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from irene.model_tree.tree import ModelTree
from irene.primitives.kinds import is_known
from irene.primitives.work import count_work
from irene.tracing import trace

F = nn.functional


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width), nn.Dropout(0.1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norms[0](x)).split(width, dim=2)
        q, k, v = (t.view(batch, length, self.heads, -1).transpose(1, 2) for t in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).contiguous().view(batch, length, width))
        return x + self.mlp(self.norms[1](x))


class Gpt(nn.Module):
    """Learned positions, tied embeddings, and attention written out with a mask where `plain` says so."""

    def __init__(self, vocabulary: int = 50, width: int = 32, layers: int = 2) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(16, width)
        self.blocks = nn.ModuleList(Block(width, 4) for _ in range(layers))
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, ids: torch.Tensor) -> dict[str, torch.Tensor]:
        x = self.tokens(ids) + self.positions(torch.arange(ids.shape[1], device=ids.device))
        for block in self.blocks:
            x = block(x)
        logits = self.head(x[:, [-1], :])
        return {"logits": logits, "best": logits.argmax(-1)}


class Hybrid(nn.Module):
    """Convolutions, then attention over what is left of the picture, then one class."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(8, 16, 3, groups=2, padding=1), nn.SiLU(), nn.AdaptiveAvgPool2d(4),
        )  # fmt: skip
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), 2)
        self.classes = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.stem(x).flatten(2).transpose(1, 2)
        return self.classes(self.encoder(tokens).mean(dim=1))


class Pair(NamedTuple):
    first: torch.Tensor
    rest: dict[str, Any]


class Nested(nn.Module):
    """One layer called three times, tied to another name, whose results come back in tuples of dicts of lists."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 8)
        self.alias = self.layer

    def forward(self, x: torch.Tensor, extra: dict[str, Any]) -> tuple[Pair, list[Any]]:
        a = self.layer(x)
        b = self.alias(a) + extra["bias"][0]
        return Pair(a, {"b": b, "c": [self.layer(b), None]}), [{"deep": (b.sum(),)}]


def ops(tree: ModelTree) -> list[str]:
    return [leaf.call.name for leaf in tree.root.leaves if leaf.call]


CASES: dict[str, tuple[nn.Module, tuple[Any, ...]]] = {
    "gpt": (Gpt(), (torch.randint(0, 50, (2, 12)),)),
    "hybrid": (Hybrid(), (torch.randn(2, 3, 32, 32),)),
    "nested": (Nested(), (torch.randn(2, 8), {"bias": [torch.randn(8)]})),
    "transformer": (nn.Transformer(16, 4, 2, 2, 32, batch_first=True), (torch.randn(2, 6, 16), torch.randn(2, 5, 16))),
    "cross attention": (nn.MultiheadAttention(16, 4, kdim=8, vdim=8), tuple(torch.randn(5, 2, n) for n in (16, 8, 8))),
    "recurrent": (nn.GRU(8, 16, 2, bidirectional=True), (torch.randn(5, 2, 8),)),
}


@pytest.mark.parametrize("name", CASES)
def test_traces_with_known_operators_and_all_parameters(name: str) -> None:
    module, inputs = CASES[name]
    tree = trace(module, inputs)
    assert tree.root.parameters == sum(p.numel() for p in module.parameters())
    unknown = {leaf.call.op for leaf in tree.root.leaves if leaf.call and not is_known(leaf.call)}
    assert unknown <= {"aten.gru.input"}, "cuDNN's recurrent layers are priced by a flagged fallback"


@pytest.mark.parametrize("name", ["gpt", "hybrid", "nested", "transformer", "cross attention"])
def test_products_are_those_that_torch_counts(name: str) -> None:
    """Independent: torch's own counter, over a real pass with its fused paths switched off."""
    module, inputs = CASES[name]
    module.eval()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            module(*inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(True)
    tree = trace(module, inputs)
    ours = sum(count_work(leaf.call).matmul_flop for leaf in tree.root.leaves if leaf.call)
    assert ours == counter.get_total_flops() > 0


def test_calls_of_one_module_under_two_names() -> None:
    """A module that hangs in two places is one module: its calls are counted under its first name."""
    module, inputs = CASES["nested"]
    calls = [(node.path, node.call_index) for node in trace(module, inputs).root.walk() if node.type == "Linear"]
    assert calls == [("layer", 0), ("layer", 1), ("layer", 2)]


def test_copies_in_place_writes_and_views_are_told_apart() -> None:
    class Copies(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.transpose(0, 1).reshape(-1)  # copies
            y = y.reshape(2, -1).expand(3, 2, -1)  # two views
            y = y.contiguous().to(torch.float64).to(torch.float64)  # copies, copies, does nothing
            return y.add_(1.0) + torch.ones(1, dtype=y.dtype, device=y.device)

    tree = trace(Copies(), torch.randn(4, 6))
    moved = {leaf.name: count_work(leaf.call).traffic_bytes for leaf in tree.root.leaves if leaf.call}
    assert moved["transpose#0"] == moved["reshape#1"] == moved["expand#0"] == moved["to#1"] == 0
    assert moved["reshape#0"] == 2 * 24 * 4
    assert moved["contiguous#0"] == (24 + 72) * 4, "an expanded row is read once and written three times"
    assert moved["to#0"] == 72 * (4 + 8)
    assert moved["add_#0"] == 2 * 72 * 8 and moved["add#0"] == (2 * 72 + 1) * 8
