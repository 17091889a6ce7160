"""How far attention sees: a sliding window, or more positions than the model was made with."""

from __future__ import annotations

from typing import Any

from irene.errors import BadInput
from irene.variants.fields import POSITIONS, text_of, write_size
from irene.variants.registry import register_variant


@register_variant("window", "Jiang et al., Mistral 7B, arXiv 2310.06825 (sliding window attention)")
def window(config: Any, size: int) -> Any:
    """Each token sees the last `size` in every layer, where the architecture has a sliding window."""
    text = text_of(config)
    if "sliding_window" not in vars(text):
        raise BadInput(f"+window: attention of {config.model_type} has no sliding window in transformers.")
    write_size(text, ("sliding_window",), size, "window")
    if "use_sliding_window" in vars(text):
        text.use_sliding_window = True
    if isinstance(vars(text).get("layer_types"), list):
        text.layer_types = ["sliding_attention"] * len(text.layer_types)
    return config


@register_variant("long", "Chen et al., Position Interpolation, arXiv 2306.15595 (the same model, more positions)")
def long(config: Any, positions: int) -> Any:
    """So many positions: a longer table where positions are learned, no other work where they are rotated."""
    text = text_of(config)
    write_size(text, POSITIONS, positions, "number of positions")
    return config
