"""Segments and roles: they cover a tree once, and name what architectures have in common."""

from __future__ import annotations

import pytest

import irene
from irene.explanation.roles import ROLES, role_of_module, roles_of_nodes
from irene.explanation.segments import cut_into_segments
from irene.model_tree.graph import flatten
from irene.model_tree.tree import ModelTree, Node

MODELS = ("bert-base-uncased", "albert-base-v2", "google-t5/t5-base", "openai/whisper-base", "meta-llama/Llama-3.2-1B")


def test_parts_of_the_small_tree(tree: ModelTree) -> None:
    segments = cut_into_segments(flatten(tree))
    assert [(segment.label, segment.stack, segment.position) for segment in segments] == [
        ("layers.0", "layer", 0), ("layers.1", "layer", 1), ("shared@0", "", None), ("shared@1", "", None),
        ("shared@2", "", None), ("dropout", "", None), ("(Tiny itself)", "", None),
    ]  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_parts_cover_every_leaf_once(name: str) -> None:
    flat = flatten(irene.trace(name, seq_len=16, decoder_seq_len=8))
    covered: list[int] = []
    for segment in cut_into_segments(flat):
        for index in segment.indices:
            covered.extend(range(flat.leaf_start[index], flat.leaf_end[index]))
    assert sorted(covered) == list(range(len(flat.leaf_index)))


def test_stacks_have_names_that_other_architectures_share() -> None:
    segments = {name: cut_into_segments(flatten(irene.trace(name, seq_len=16))) for name in MODELS}
    stacks = {name: [segment.stack for segment in found if segment.stack] for name, found in segments.items()}
    assert set(stacks["bert-base-uncased"]) == set(stacks["meta-llama/Llama-3.2-1B"]) == {"layer"}
    assert stacks["albert-base-v2"] == ["layer"] * 12  # one layer, called twelve times
    assert stacks["google-t5/t5-base"] == ["encoder layer"] * 12 + ["decoder layer"] * 12


@pytest.mark.parametrize(
    ("path", "kind", "role"),
    [
        ("encoder.layer.0.output", "BertOutput", "feed_forward"),
        ("encoder.layer.0.attention.output", "BertSelfOutput", "feed_forward"),  # by itself; inside attention see below
        ("layers.0.input_layernorm", "LlamaRMSNorm", "norm"),
        ("encoder.block.0.layer.1", "T5LayerFF", "feed_forward"),
        ("decoder.block.0.layer.1", "T5LayerCrossAttention", "attention"),
        ("layers.0.mlp", "Qwen2MoeSparseMoeBlock", "feed_forward"),
        ("layers.0", "Qwen2MoeDecoderLayer", "other"),
        ("decoder.layers.0.fc2", "Linear", "feed_forward"),
        ("wte", "Embedding", "embeddings"),
        ("pooler", "BertPooler", "head"),
        ("lm_head", "Linear", "head"),
    ],
)
def test_role_of_a_module(path: str, kind: str, role: str) -> None:
    assert role_of_module(Node("module", path, kind)) == role


@pytest.mark.parametrize("name", MODELS)
def test_attention_and_feed_forward_are_found_everywhere(name: str) -> None:
    flat = flatten(irene.trace(name, seq_len=16))
    roles = roles_of_nodes(flat)
    assert set(roles) <= set(ROLES)
    of_linears = {role for role, node in zip(roles, flat.nodes, strict=True) if node.type == "aten.linear.default"}
    assert {"attention", "feed_forward"} <= of_linears
    for index, node in enumerate(flat.nodes):
        if "scaled_dot_product_attention" in node.type or node.path.endswith("attention.output.dense"):
            assert roles[index] == "attention"
