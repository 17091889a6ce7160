"""What holds of every tree, whatever the model: it doubles, adds up, is the same twice, and survives being saved."""

from __future__ import annotations

import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from irene.model_tree.serialization import compress_tree, decompress_tree, tree_from_json, tree_to_json
from irene.model_tree.tree import ModelTree, Node
from irene.primitives.work import Work, count_work
from irene.tracing import trace
from tests.tracing.tiny_models import ARCHITECTURES, tiny_config

WIDTHS = st.integers(1, 6).map(lambda n: 8 * n)
LAYERS = st.lists(st.sampled_from(["linear", "gelu", "norm", "add", "transpose", "attention"]), min_size=1, max_size=6)


class Made(nn.Module):
    """A random small network over (batch, length, width)."""

    def __init__(self, layers: list[str], width: int) -> None:
        super().__init__()
        self.kinds = layers
        self.layers = nn.ModuleList(self._part(kind, width) for kind in layers)

    @staticmethod
    def _part(kind: str, width: int) -> nn.Module:
        return nn.LayerNorm(width) if kind == "norm" else nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for kind, layer in zip(self.kinds, self.layers, strict=True):
            if kind in ("linear", "norm"):
                x = layer(x)
            elif kind == "gelu":
                x = nn.functional.gelu(x)
            elif kind == "add":
                x = x + x.mean(-1, keepdim=True)
            elif kind == "transpose":
                x = x.transpose(0, 1).contiguous().transpose(0, 1)
            else:
                x = nn.functional.scaled_dot_product_attention(x[:, None], x[:, None], x[:, None])[:, 0]
        return x


class Wrapper(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.renamed = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.renamed(x)


def work_of(node: Node) -> Work:
    return sum((count_work(leaf.call) for leaf in node.leaves if leaf.call is not None), Work())


def linear_flop(tree: ModelTree) -> int:
    """FLOP of layers: rotary positions are one product for the whole batch."""
    calls = [leaf.call for leaf in tree.root.leaves if leaf.call is not None]
    return sum(count_work(call).matmul_flop for call in calls if call.name in ("linear", "addmm", "_grouped_mm"))


def calls_of(tree: ModelTree) -> list[str]:
    return [leaf.call.signature for leaf in tree.root.leaves if leaf.call is not None]


@given(LAYERS, WIDTHS, st.integers(1, 4), st.integers(2, 9))
@settings(max_examples=25, deadline=None)
def test_doubling_the_batch_doubles_the_products(layers: list[str], width: int, batch: int, length: int) -> None:
    module = Made(layers, width)
    once, twice = (work_of(trace(module, torch.zeros(n * batch, length, width)).root) for n in (1, 2))
    assert twice.matmul_flop == 2 * once.matmul_flop
    assert twice.weight_bytes == once.weight_bytes, "weights are read once, however many rows"


@pytest.mark.parametrize("architecture", [name for name in ARCHITECTURES if name != "vit"])
def test_doubling_the_batch_of_a_transformer(architecture: str) -> None:
    trees = [trace(tiny_config(architecture), batch_size=n, seq_len=16) for n in (2, 4)]
    once, twice = (linear_flop(tree) for tree in trees)
    assert twice == 2 * once > 0


@given(LAYERS, WIDTHS)
@settings(max_examples=15, deadline=None)
def test_children_add_up_to_the_root(layers: list[str], width: int) -> None:
    root = trace(Made(layers, width), torch.zeros(2, 4, width)).root
    for node in root.walk():
        if node.kind != "primitive":
            assert sum((work_of(child) for child in node.children), Work()) == work_of(node)


@given(LAYERS, WIDTHS)
@settings(max_examples=15, deadline=None)
def test_a_tree_survives_being_saved(layers: list[str], width: int) -> None:
    tree = trace(Made(layers, width), torch.zeros(2, 4, width))
    assert tree_from_json(json.loads(json.dumps(tree_to_json(tree)))) == tree
    assert decompress_tree(compress_tree(tree)) == tree


@given(LAYERS, WIDTHS)
@settings(max_examples=15, deadline=None)
def test_traced_twice_the_same_and_wrapped_only_the_paths_change(layers: list[str], width: int) -> None:
    module, x = Made(layers, width), torch.zeros(2, 4, width)
    tree, again, wrapped = trace(module, x), trace(module, x), trace(Wrapper(module), x)
    assert tree == again
    assert calls_of(wrapped) == calls_of(tree)
    assert work_of(wrapped.root) == work_of(tree.root)
    inner = [node for node in wrapped.root.walk() if node.path.startswith("renamed")]
    before = [node.path for node in tree.root.walk()]
    assert [node.path.removeprefix("renamed").removeprefix(".") for node in inner] == before


@pytest.mark.parametrize("architecture", ["bert", "gpt2", "mixtral", "t5", "gemma2"])
def test_remembered_calls_change_nothing(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal layers are worked out once and reused: the tree is that of working out every call anew."""
    reused = trace(tiny_config(architecture), batch_size=2, seq_len=16)
    monkeypatch.setattr("irene.tracing.recorder.Recorder.known_answer", lambda *_: None)
    assert trace(tiny_config(architecture), batch_size=2, seq_len=16) == reused
