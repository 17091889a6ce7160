"""More or fewer layers."""

from __future__ import annotations

from typing import Any

from irene.variants.fields import DECODER_LAYERS, LAYERS, find_field, read_size, text_of, write_size
from irene.variants.registry import register_variant


@register_variant("layers", "Sanh et al., DistilBERT, arXiv 1910.01108 (half the layers of BERT)")
def layers(config: Any, count: int) -> Any:
    """So many layers; of an encoder-decoder, so many on either side. Lists of one entry a layer repeat theirs."""
    text = text_of(config)
    before = read_size(text, LAYERS, "number of layers")
    for name, value in list(vars(text).items()):
        if isinstance(value, list) and len(value) == before and name != "id2label":
            setattr(text, name, [value[at % before] for at in range(count)])
    write_size(text, LAYERS, count, "number of layers")
    if find_field(text, DECODER_LAYERS) is not None:
        write_size(text, DECODER_LAYERS, count, "number of layers")
    return config
