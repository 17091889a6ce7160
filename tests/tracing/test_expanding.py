"""A trace in which equal layers were not run is the trace in which they were: calls, weights, memory, notes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoConfig

from irene.model_tree.tree import ModelTree
from irene.model_tree.workload import Workload
from irene.tracing import expanding, tracer
from irene.tracing.tracer import trace_config
from tests.tracing.tiny_models import tiny_config

_SMALL = {"vocab_size": 99, "pad_token_id": 0}
_LONG_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 8, "num_heads": 4, "decoder_start_token_id": 0}
_DEBERTA = {
    "hidden_size": 32, "num_hidden_layers": 8, "num_attention_heads": 4, "intermediate_size": 64,
    "relative_attention": True, "position_buckets": 16, "max_position_embeddings": 128, "pos_att_type": ["p2c", "c2p"],
}  # fmt: skip
_SAM = {
    "hidden_size": 32, "num_hidden_layers": 12, "num_attention_heads": 4, "image_size": 64, "patch_size": 8,
    "output_channels": 16, "global_attn_indexes": [2, 5, 8, 11], "window_size": 4, "mlp_dim": 64,
}  # fmt: skip
_SWITCH = {
    "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 12, "num_decoder_layers": 12, "num_heads": 4, "num_experts": 4,
    "decoder_start_token_id": 0,
}  # fmt: skip
CONFIGS = {
    "bert": lambda: tiny_config("bert", num_hidden_layers=8),
    "gpt2": lambda: tiny_config("gpt2", n_layer=8),
    "llama": lambda: tiny_config("llama", num_hidden_layers=8),  # a cache that grows
    "mixtral": lambda: tiny_config("mixtral", num_hidden_layers=8),
    "gemma2": lambda: tiny_config("gemma2", num_hidden_layers=12),  # two kinds of layers in turn
    "t5": lambda: tiny_config("t5", num_layers=8),
    "vit": lambda: tiny_config("vit", num_hidden_layers=8),
    "deberta": lambda: AutoConfig.for_model("deberta-v2", **_SMALL, **_DEBERTA),  # keeps what each layer returns
    "sam": lambda: AutoConfig.for_model(
        "sam_hq_vision_model", **_SAM
    ),  # the model keeps some layers' outputs, others not
    "longt5": lambda: AutoConfig.for_model("longt5", **_SMALL, **_LONG_T5),  # its mask is gone after the encoder
}


def trace_both(config: Any, workload: Workload, monkeypatch: pytest.MonkeyPatch) -> tuple[ModelTree, ModelTree, int]:
    """With few layers run, and with all; how many module calls repeat another."""
    repeated: list[int] = []
    expand = expanding.expand

    def count(found: Any, repeats: Any) -> Any:
        whole = expand(found, repeats)
        repeated.append(0 if whole is None else len(repeats.of))
        return whole

    monkeypatch.setattr(expanding, "expand", count)
    few = trace_config(config, workload, "few")
    return few, trace_config(config, workload, "few", skips_layers=False), sum(repeated)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_tree_is_the_one_of_all_layers(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    few, plain, repeated = trace_both(CONFIGS[name](), Workload(batch_size=2, seq_len=40), monkeypatch)
    assert repeated >= 4 and few.root == plain.root
    assert (few.memory, few.notes) == (plain.memory, plain.notes)


def test_shared_layers_are_the_tree_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    few, plain, repeated = trace_both(
        tiny_config("llama", num_hidden_layers=8), Workload(seq_len=8, gpus=2, task="causal-lm"), monkeypatch
    )
    assert repeated == 4 and few == plain


@pytest.mark.parametrize("special", [1, 2, 7])
def test_where_a_layer_that_was_run_differs_all_are(special: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))
        return y + 1 if self.number == special else y

    def build(*args: Any) -> Any:
        model = build_model(*args)
        for place, layer in enumerate(model.layers):
            layer.mlp.number, layer.mlp.forward = place, forward.__get__(layer.mlp)
        return model

    build_model = tracer.build_model
    monkeypatch.setattr(tracer, "build_model", build)
    few, plain, repeated = trace_both(tiny_config("llama", num_hidden_layers=8), Workload(seq_len=8), monkeypatch)
    assert not repeated and few == plain


def test_a_weight_that_a_model_makes_anew_has_all_layers_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its routers are cast to float32 as they run."""
    config = AutoConfig.for_model("switch_transformers", **_SMALL, **_SWITCH)
    few, plain, repeated = trace_both(config, Workload(seq_len=8), monkeypatch)
    assert not repeated and few == plain
