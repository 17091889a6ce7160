"""Configs of every architecture that must trace, small enough to run for real on a CPU."""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, PretrainedConfig

_TOKENS = {"vocab_size": 99, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_WIDE = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64,
    "max_position_embeddings": 128,
}  # fmt: skip
_GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
_GROUPED = _WIDE | {"num_key_value_heads": 2, "head_dim": 8}
_ENCODER_DECODER = {
    "d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 128, "decoder_start_token_id": 2,
}  # fmt: skip
_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}

_SIZES: dict[str, dict[str, Any]] = {
    "bert": _TOKENS | _WIDE,
    "roberta": _TOKENS | _WIDE,
    "distilbert": _TOKENS | {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 128},
    "albert": _TOKENS | _WIDE | {"embedding_size": 16},
    "gpt2": _TOKENS | _GPT,
    "openai-gpt": _TOKENS | _GPT,
    "opt": _TOKENS | _WIDE | {"ffn_dim": 64, "word_embed_proj_dim": 32},
    "gpt_neox": _TOKENS | _WIDE,
    "llama": _TOKENS | _GROUPED,
    "mistral": _TOKENS | _GROUPED | {"sliding_window": 32},
    "qwen2": _TOKENS | _GROUPED,
    "qwen3": _TOKENS | _GROUPED,
    "gemma2": _TOKENS | _GROUPED | {"sliding_window": 32},
    "phi3": _TOKENS | _GROUPED,
    "t5": _TOKENS | _T5,
    "bart": _TOKENS | _ENCODER_DECODER,
    "mixtral": _TOKENS | _GROUPED | {"num_local_experts": 4, "num_experts_per_tok": 2},
    "vit": {key: size for key, size in _WIDE.items() if "position" not in key} | {"image_size": 32, "patch_size": 8},
}
ARCHITECTURES = tuple(_SIZES)


def tiny_config(architecture: str, **changes: Any) -> PretrainedConfig:
    return AutoConfig.for_model(architecture, **_SIZES[architecture] | changes)
