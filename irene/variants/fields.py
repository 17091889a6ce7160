"""One size under the names that different configs have for it: the width of GPT-2 is `n_embd`, that of T5 `d_model`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from irene.errors import BadInput

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers")
DECODER_LAYERS = ("num_decoder_layers", "decoder_layers")
WIDTH = ("hidden_size", "d_model", "n_embd", "dim")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads", "encoder_attention_heads")
DECODER_HEADS = ("decoder_attention_heads",)
KEY_VALUE_HEADS = ("num_key_value_heads", "num_kv_heads")
FEED_FORWARD = ("intermediate_size", "n_inner", "d_ff", "ffn_dim", "encoder_ffn_dim", "hidden_dim")
DECODER_FEED_FORWARD = ("decoder_ffn_dim",)
POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length")


def text_of(config: Any) -> Any:
    """The part of a config that describes its text model: itself, where there is no other."""
    return getattr(config, "text_config", None) or config


def find_field(config: Any, names: Sequence[str]) -> str | None:
    """The first of `names` that the config has; None if it has none."""
    own = {**vars(config), **dict.fromkeys(getattr(config, "attribute_map", {}))}
    return next((name for name in names if name in own), None)


def read_size(config: Any, names: Sequence[str], what: str) -> int:
    """The value of the first of `names`. Raises BadInput where the config has none."""
    field = find_field(config, names)
    value = getattr(config, field) if field else None
    if not isinstance(value, int):
        raise BadInput(f"A {config.model_type} config says no {what} that a variant could change.")
    return value


def write_size(config: Any, names: Sequence[str], value: int, what: str) -> None:
    """Set the first of `names`. Raises BadInput where the config has none, or for a value below one."""
    field = find_field(config, names)
    if field is None:
        raise BadInput(f"A {config.model_type} config says no {what} that a variant could change.")
    if value < 1:
        raise BadInput(f"The {what} must be 1 or more, got {value}.")
    setattr(config, field, value)
