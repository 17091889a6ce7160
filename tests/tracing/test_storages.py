"""Memory while tracing: storages are born with their first tensor and die with their last."""

from __future__ import annotations

from dataclasses import replace

import torch

import irene
from irene.model_tree.memory import Memory
from irene.model_tree.serialization import tree_from_json, tree_to_json
from irene.model_tree.tree import Node
from irene.tracing.phases import cut_at_stops
from irene.tracing.recording import Prepared, record_afresh
from tests.tracing.tiny_models import tiny_config

KB = 1024


class Steps(torch.nn.Module):
    """`held` keeps its first result to the end; the others come and go."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        held = x * 2  # 4 KB alive
        passing = held + 1  # 8
        passing = passing.view(4, 256)  # a view: 8
        passing.add_(1)  # in place: 8
        passing = passing.exp()  # 12 while it is made, 8 after
        return held.view(4, 256) + passing  # 12


def test_what_is_alive_after_each_call() -> None:
    x = torch.empty(1024, device="meta")
    found = record_afresh(lambda: Prepared(Steps(), (x,), {}))
    assert [size // KB for size in found.alive_bytes] == [4, 8, 8, 8, 12, 8, 12]
    assert found.memory == Memory(weights=0, kv_cache=0, activations=(4 + 12) * KB)


def test_sizes_are_rounded_as_the_allocator_does() -> None:
    found = record_afresh(lambda: Prepared(torch.nn.Linear(3, 5).to("meta"), (torch.empty(2, 3, device="meta"),), {}))
    assert found.memory == Memory(weights=2 * 512, kv_cache=0, activations=2 * 512)


def test_a_forward_pass_knows_its_cache_and_a_saved_tree_its_memory() -> None:
    """Two layers of keys and values: 2 heads of 8, two bytes each; tied to nothing, 99 tokens of vocabulary."""
    tree = irene.trace(tiny_config("llama"), batch_size=4, seq_len=128)
    assert tree.memory is not None and tree.memory.kv_cache == 2 * 2 * 4 * 128 * 2 * 8 * 2
    assert 2 * tree.root.parameters <= tree.memory.weights <= 2 * tree.root.parameters + 512 * 30
    assert tree_from_json(tree_to_json(tree)).memory == tree.memory


class Biased(torch.nn.Module):
    """Attention with a bias whose rows do not lie together: plain attention, which writes its scores to memory."""

    def forward(self, x: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.scaled_dot_product_attention(x, x, x, bias.transpose(2, 3))


def test_memory_inside_an_operator_counts_while_it_runs() -> None:
    """Of 2 x 4 heads of 256 positions: scores in float32 before and after their softmax, at a byte which are -inf."""
    x = torch.empty(2, 4, 256, 8, dtype=torch.bfloat16, device="meta")
    bias = torch.empty(1, 4, 256, 256, dtype=torch.bfloat16, device="meta")
    found = record_afresh(lambda: Prepared(Biased(), (x, bias), {}))
    scores, given = 2 * 4 * 256 * 256, x.nbytes + bias.nbytes
    cast = 4 * 2 * x.nbytes  # query, key and value in float32, and the query scaled
    assert found.alive_bytes == (0, x.nbytes)
    assert found.memory.activations == given + cast + scores * (4 + 4 + 1) + 2 * 4 * 256
    (phase,) = cut_at_stops(_as_a_pass(found.root), found.alive_bytes, 1, primes=False)
    assert phase.peak_bytes == found.memory.activations - given


def _as_a_pass(root: Node) -> Node:
    """A root that calls the model once, as `generate` does."""
    return replace(root, children=(replace(root, kind="module", path="model"),))
