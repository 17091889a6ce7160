"""Variants of configs build what they say: sizes, FLOP and parameters of the model that comes of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import irene
from irene import variants
from irene.errors import BadInput, UnknownName
from irene.primitives.work import count_work
from irene.tracing.building import build_model
from irene.tracing.tracer import trace

BERT = "bert-base-uncased"


def flop(model: str, **workload: Any) -> int:
    leaves = trace(model, seq_len=128, **workload).root.leaves
    return sum(count_work(leaf.call).matmul_flop for leaf in leaves if leaf.call is not None)


def parameters(model: str, task: str = "base") -> int:
    built = build_model(irene.load_config(model), task, torch.bfloat16, "meta")
    return sum(parameter.numel() for parameter in built.parameters())


def test_half_the_layers_are_half_of_the_encoder_as_in_distilbert() -> None:
    pooler = 2 * 768 * 768  # of the first token, in both
    assert flop(f"{BERT}+layers:6") - pooler == (flop(BERT) - pooler) // 2
    assert flop(f"{BERT}+layers:6") - pooler == flop("distilbert-base-uncased")


def test_one_layer_a_list_entry_and_both_sides_of_an_encoder_decoder() -> None:
    config = irene.load_config("t5-small+layers:3")
    assert (config.num_layers, config.num_decoder_layers) == (3, 3)
    kinds = irene.load_config("google/gemma-2-2b").layer_types
    assert irene.load_config("google/gemma-2-2b+layers:30").layer_types == (kinds + kinds)[:30]


def test_width_keeps_head_size_and_ratio_of_the_feed_forward() -> None:
    config = irene.load_config(f"{BERT}+width:384")
    assert (config.hidden_size, config.num_attention_heads, config.intermediate_size) == (384, 6, 1536)
    assert irene.load_config("gpt2+width:384+layers:2").n_head == 6
    with pytest.raises(BadInput, match="heads of 64 do not divide it"):
        irene.load_config(f"{BERT}+width:400")


def test_heads_change_neither_flop_nor_parameters() -> None:
    assert flop(f"{BERT}+heads:6") == flop(BERT) and parameters(f"{BERT}+heads:6") == parameters(BERT)


def test_shared_layers_do_the_same_work_with_the_weights_of_one() -> None:
    assert flop(f"{BERT}+shared") == flop(BERT)
    assert parameters(BERT) - parameters(f"{BERT}+shared") == 11 * 7_087_872
    module = build_model(irene.load_config("bert-tiny+shared"), "base", torch.float32, "cpu")
    layers = module.encoder.layer
    assert layers[1] is layers[0]
    ids = torch.tensor([[1, 2, 3]])
    hidden = module(ids, output_hidden_states=True).hidden_states
    torch.testing.assert_close(layers[0](hidden[1]), hidden[2])


def test_fewer_key_and_value_heads() -> None:
    name = "meta-llama/Llama-3.2-1B"
    base, one = irene.load_config(name), irene.load_config(f"{name}+mqa")
    assert (base.num_key_value_heads, one.num_key_value_heads) == (8, 1)
    saved = 2 * 7 * base.head_dim * base.hidden_size  # of keys and values in a layer
    assert parameters(name) - parameters(f"{name}+gqa:1") == base.num_hidden_layers * saved
    with pytest.raises(BadInput, match="do not divide 32 query heads"):
        irene.load_config(f"{name}+gqa:5")
    with pytest.raises(BadInput, match="as many key and value heads as query heads"):
        irene.load_config(f"{BERT}+gqa:2")


def test_attention_by_name_runs_those_kernels() -> None:
    fused, eager = (
        {leaf.call.name for leaf in trace(f"{BERT}+layers:1{kernels}").root.leaves if leaf.call is not None}
        for kernels in ("+attention:sdpa", "+attention:eager")
    )
    assert "scaled_dot_product_attention" in fused - eager and "softmax" in eager - fused
    with pytest.raises(UnknownName, match="flash"):
        irene.load_config(f"{BERT}+attention:flash")


def test_a_window_only_where_there_is_one() -> None:
    assert irene.load_config("mistralai/Mistral-7B-v0.1+window:1024").sliding_window == 1024
    with pytest.raises(BadInput, match="no sliding window"):
        irene.load_config(f"{BERT}+window:64")


def test_vocabulary_ties_and_positions() -> None:
    assert parameters(BERT) - parameters(f"{BERT}+vocab:10000") == (30522 - 10000) * 768
    assert parameters(f"{BERT}+long:1024") - parameters(BERT) == 512 * 768
    apart = parameters("gpt2+layers:1+tie:no", "causal-lm") - parameters("gpt2+layers:1", "causal-lm")
    assert apart == 50257 * 768


def test_any_field_by_its_name_and_none_that_is_not_there() -> None:
    assert irene.load_config(f"{BERT}+set:hidden_act=relu,num_hidden_layers=3").num_hidden_layers == 3
    with pytest.raises(UnknownName, match="num_hidden_layers"):
        irene.load_config(f"{BERT}+set:num_hiden_layers=3")
    with pytest.raises(BadInput, match="is a number"):
        irene.load_config(f"{BERT}+set:num_hidden_layers=few")


def test_a_change_of_a_config_is_none_of_a_module() -> None:
    with pytest.raises(BadInput, match="changes a transformers config, not a Linear"):
        variants.layers(2)(torch.nn.Linear(2, 2))
