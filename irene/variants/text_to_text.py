"""An encoder or a decoder alone, as an encoder with a decoder beside it."""

from __future__ import annotations

from typing import Any

from irene.errors import BadInput, UnknownName
from irene.variants.fields import FEED_FORWARD, HEADS, LAYERS, WIDTH, find_field, read_size, text_of
from irene.variants.registry import register_variant

_BUDGETS = ("parameters", "flop")


@register_variant("encoder-decoder", "Raffel et al., T5, arXiv 1910.10683 (section 3.2.2, models compared)")
def encoder_decoder(config: Any, budget: str = "parameters") -> Any:
    """T5 of this width: with half of the layers on each side (parameters), or all of them on each (flop a token)."""
    if budget not in _BUDGETS:
        raise UnknownName("budget", budget, _BUDGETS)
    if getattr(config, "is_encoder_decoder", False):
        raise BadInput(f"+encoder-decoder: a {config.model_type} model is one already.")
    from transformers import T5Config

    text = text_of(config)
    layers, width, heads = (
        read_size(text, names, what)
        for names, what in ((LAYERS, "number of layers"), (WIDTH, "width"), (HEADS, "number of heads"))
    )
    if budget == "parameters" and layers % 2:
        raise BadInput(f"+encoder-decoder: {layers} layers have no half; change them (+layers), or take budget=flop.")
    each = layers // 2 if budget == "parameters" else layers
    inner = getattr(text, find_field(text, FEED_FORWARD) or "", None)
    own = {"d_ff": inner if isinstance(inner, int) else 4 * width, "vocab_size": text.vocab_size}
    return T5Config(
        d_model=width, d_kv=getattr(text, "head_dim", None) or width // heads, num_heads=heads, num_layers=each,
        num_decoder_layers=each, decoder_start_token_id=0, **own,
    )  # fmt: skip
