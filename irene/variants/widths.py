"""Wider or narrower layers: the width of the residual stream, the heads on it, the feed-forward inside."""

from __future__ import annotations

from typing import Any

from irene.errors import BadInput
from irene.variants.fields import (
    DECODER_FEED_FORWARD,
    DECODER_HEADS,
    FEED_FORWARD,
    HEADS,
    KEY_VALUE_HEADS,
    WIDTH,
    find_field,
    read_size,
    text_of,
    write_size,
)
from irene.variants.registry import register_variant

_SCALING = "Turc et al., Well-Read Students Learn Better, arXiv 1908.08962 (BERT in 24 sizes)"


@register_variant("width", _SCALING)
def width(config: Any, size: int) -> Any:
    """A residual stream of this width; heads keep their size, the feed-forward its ratio to the width."""
    text = text_of(config)
    before, heads = read_size(text, WIDTH, "width"), read_size(text, HEADS, "number of heads")
    head_size = before // heads
    if size < 1 or size % head_size:
        raise BadInput(f"+width:{size}: heads of {head_size} do not divide it; set the heads with +heads as well.")
    for names in (FEED_FORWARD, DECODER_FEED_FORWARD):
        field = find_field(text, names)
        inner = getattr(text, field) if field else None
        if field and isinstance(inner, int):
            setattr(text, field, max(inner * size // before, 1))
    write_size(text, WIDTH, size, "width")
    return heads_of(config, size // head_size)


@register_variant("heads", "Michel et al., Are Sixteen Heads Really Better than One?, arXiv 1905.10650")
def heads(config: Any, count: int) -> Any:
    """So many heads over the same width: each is larger or smaller. Key and value heads keep their ratio."""
    text = text_of(config)
    total = read_size(text, WIDTH, "width")
    if count < 1 or total % count:
        raise BadInput(f"+heads:{count}: {count} heads do not divide the width {total}.")
    return heads_of(config, count, total // count)


@register_variant("ffn", _SCALING)
def ffn(config: Any, size: int) -> Any:
    """A feed-forward of this inner size in every layer."""
    text = text_of(config)
    write_size(text, FEED_FORWARD, size, "inner size of the feed-forward")
    if find_field(text, DECODER_FEED_FORWARD) is not None:
        write_size(text, DECODER_FEED_FORWARD, size, "inner size of the feed-forward")
    return config


def heads_of(config: Any, count: int, head_size: int | None = None) -> Any:
    """The config with so many heads, key and value heads in their ratio, and of another size where one is given."""
    text = text_of(config)
    before = read_size(text, HEADS, "number of heads")
    field = find_field(text, KEY_VALUE_HEADS)
    pairs = getattr(text, field) if field else None
    if field and isinstance(pairs, int):
        if pairs * count % before:
            raise BadInput(f"{count} heads leave no whole number of key and value heads: {before} share {pairs}.")
        setattr(text, field, pairs * count // before)
    for name in ("head_dim", "d_kv"):
        if head_size is not None and isinstance(vars(text).get(name), int):
            setattr(text, name, head_size)
    write_size(text, HEADS, count, "number of heads")
    if find_field(text, DECODER_HEADS) is not None:
        write_size(text, DECODER_HEADS, count, "number of heads")
    return config
