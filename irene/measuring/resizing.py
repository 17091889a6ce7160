"""Architectures in sizes that nobody has published: every operator of a recipe, at widths drawn at random.

Published widths are few (768, 1024, 4096 ...). A predictor that has seen only those looks them up; one that has seen a
recipe at many widths has to interpolate, which is what a new architecture asks of it.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from itertools import cycle
from typing import Any

from irene.measuring.random_shapes import DTYPE_SHARES, Drawn, draw, draw_mode
from irene.model_tree.workload import Workload
from irene.tracing.shortening import shorten
from irene.tracing.sources import load_config
from irene.tracing.tracer import trace_config

_HEAD_SIZES = (32, 64, 64, 64, 80, 96, 128, 128)
_MOST_TOKENS = 65_536
_LONGEST = 4096


def resized_calls(settings: dict[str, Any], rng: random.Random) -> Iterator[Drawn]:
    """(call, dtype mode) of `count` traces of the recipes in `models`, each at a size of its own."""
    for model, _ in zip(cycle(settings.get("models", ())), range(int(settings.get("count", 0))), strict=False):
        mode, _ = draw_mode(DTYPE_SHARES, rng)
        config = resize(shorten(load_config(model)), rng)
        batch_size = draw(rng, 1, 64)
        seq_len = min(draw(rng, 1, _LONGEST), _MOST_TOKENS // batch_size)
        try:
            tree = trace_config(config, Workload(batch_size=batch_size, seq_len=seq_len, dtype=mode), model)
        except Exception as error:  # a size that this recipe refuses: the next one is as good
            print(f"{model} resized {batch_size}x{seq_len} {mode}: {str(error)[:160]}", file=sys.stderr)
            continue
        for call in dict.fromkeys(leaf.call for leaf in tree.root.leaves if leaf.call is not None):
            yield call, mode


def resize(config: Any, rng: random.Random) -> Any:
    """The same recipe with other heads, widths and expert counts; only attributes that the config has are set."""
    head_size = rng.choice(_HEAD_SIZES)
    heads = rng.choice((4, 6, 8, 12, 16, 20, 24, 32, 40))
    hidden = heads * head_size
    drawn: dict[str, int] = {
        "hidden_size": hidden,
        "embedding_size": hidden,
        "num_attention_heads": heads,
        "intermediate_size": max(64, round(hidden * rng.choice((2.0, 2.67, 3.5, 4.0)) / 64) * 64),
        "max_position_embeddings": 2 * _LONGEST,
        "max_target_positions": 2 * _LONGEST,
        "vocab_size": draw(rng, 52_000, 260_000, 8),  # above every special token's id
        # T5 and the encoder-decoders
        "d_kv": head_size,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": heads,
        # vision
        "image_size": 16 * rng.choice((8, 14, 16, 24)),
        "embed_dim": 32 * rng.choice((2, 3, 4, 6)) * 3,  # Swin: divided by its heads, which double as it does
        "window_size": rng.choice((4, 6, 7, 8, 10, 12)),
        # sound: convolutions in groups that stand for positions
        "num_conv_pos_embeddings": 2 * draw(rng, 4, 64),
        "num_conv_pos_embedding_groups": rng.choice((1, 2, 4, 8, 16, 32)),
        # mixtures of experts
        "num_local_experts": (experts := rng.choice((4, 8, 16, 32, 64))),
        "num_experts": experts,
        "moe_intermediate_size": draw(rng, 256, 2048, 64),
        "shared_expert_intermediate_size": draw(rng, 512, 4096, 64),
    }
    for name in ("d_ff", "ffn_dim", "encoder_ffn_dim", "decoder_ffn_dim"):
        drawn[name] = drawn["intermediate_size"]
    for name, value in drawn.items():
        if isinstance(getattr(config, name, None), int):
            setattr(config, name, value)
    own = vars(config)  # some classes answer these names by a property
    if isinstance(own.get("num_key_value_heads"), int):
        config.num_key_value_heads = rng.choice([h for h in (1, 2, 4, 8, heads) if heads % h == 0])
    if isinstance(own.get("head_dim"), int):
        config.head_dim = head_size
    if widths := own.get("conv_dim"):  # the convolutions that sound goes through first
        config.conv_dim = [draw(rng, 64, 1024, 32) for _ in widths]
    return config
