"""Two layers of each stack stand for all: the same distinct calls, traced in a fraction of the time."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

_LAYER_COUNTS = (
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers", "num_decoder_layers",
    "num_encoder_layers",
)  # fmt: skip


def shorten(config: Any) -> Any:
    """The same architecture with two layers (or the period of its layer types)."""
    layer_types = getattr(config, "layer_types", None)
    keep = 2 if not layer_types else max(2, len(layer_types) // max(1, layer_types.count("full_attention")))
    for name in _LAYER_COUNTS:
        if isinstance(getattr(config, name, None), int):
            with suppress(NotImplementedError):  # a sum of two others, which is not for setting
                setattr(config, name, min(keep, getattr(config, name)))
    if layer_types:
        config.layer_types = list(layer_types[:keep])
    return config
