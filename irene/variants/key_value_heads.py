"""Fewer heads of keys and values than of queries."""

from __future__ import annotations

from typing import Any

from irene.errors import BadInput
from irene.variants.fields import HEADS, KEY_VALUE_HEADS, find_field, read_size, text_of
from irene.variants.registry import register_variant


@register_variant("gqa", "Ainslie et al., GQA, arXiv 2305.13245")
def gqa(config: Any, heads: int) -> Any:
    """So many heads of keys and values, each shared by a group of query heads."""
    text = text_of(config)
    queries = read_size(text, HEADS, "number of heads")
    if heads < 1 or queries % heads:
        raise BadInput(f"+gqa:{heads}: {heads} heads of keys and values do not divide {queries} query heads.")
    field = find_field(text, KEY_VALUE_HEADS)
    if field is None:
        raise BadInput(f"+gqa: attention of {config.model_type} has as many key and value heads as query heads only.")
    setattr(text, field, heads)
    return config


@register_variant("mqa", "Shazeer, Fast Transformer Decoding, arXiv 1911.02150")
def mqa(config: Any) -> Any:
    """One head of keys and values for all query heads."""
    return gqa.function(config, 1)
