"""The words that a model knows, and whether its output layer is its input embedding."""

from __future__ import annotations

from typing import Any

from irene.errors import BadInput
from irene.variants.fields import text_of, write_size
from irene.variants.registry import register_variant


@register_variant("vocab", "Tao et al., Scaling Laws with Vocabulary, arXiv 2407.13623")
def vocab(config: Any, size: int) -> Any:
    """So many entries in the vocabulary."""
    write_size(text_of(config), ("vocab_size",), size, "vocabulary")
    return config


@register_variant("tie", "Press and Wolf, Using the Output Embedding to Improve Language Models, arXiv 1608.05859")
def tie(config: Any, to: str = "yes") -> Any:
    """One matrix for the input embedding and the output layer; 'no' takes them apart."""
    if to not in ("yes", "no"):
        raise BadInput(f"+tie:{to}: expected 'yes' or 'no'.")
    for part in {id(part): part for part in (config, text_of(config))}.values():
        part.tie_word_embeddings = to == "yes"
    return config
