"""Towers beside a language model: images by the config, and which towers the inputs leave out.

A model that reads images with its text puts their features where the token ids say so (`image_token_id`). How many
there are is asked of the model itself. Where its images take more than pixels (a grid of patches, tiles, masks), or a
tower reads sound, nothing is built: the tree shows the text alone and says which tower is missing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from irene.model_tree.workload import Workload
from irene.tracing.inputs import TOKEN_ID, build_pixels, parameters_of
from irene.tracing.known_values import set_value
from irene.tracing.module_index import list_modules

_PARTS = ("vision_config", "audio_config", "speech_config", "encoder_config")


def add_images(module: Any, inputs: dict[str, torch.Tensor], workload: Workload) -> dict[str, torch.Tensor]:
    """The inputs of a model on meta with `workload.images` a sample (one, unless told), before its text.

    The inputs as they are where the model reads no images, or where they take more than pixels.
    """
    token = getattr(module.config, "image_token_id", None) or getattr(module.config, "image_token_index", None)
    reads_images = hasattr(module, "get_image_features") and "pixel_values" in parameters_of(module)
    if workload.images == 0 or not (token and reads_images and set(inputs) == {"input_ids"}):
        return inputs
    if token >= module.config.get_text_config().vocab_size:  # some configs' defaults: the model itself would fail
        return inputs
    images = workload.images or 1
    pixels = build_pixels(module.config, replace(workload, batch_size=workload.batch_size * images))
    length = _count_features(module, pixels)
    if length is None:
        return inputs
    text = inputs["input_ids"].shape[1]
    ids = torch.tensor([token] * (length // workload.batch_size) + [TOKEN_ID] * text).expand(workload.batch_size, -1)
    on_meta = torch.empty(ids.shape, dtype=torch.int64, device="meta")
    set_value(on_meta, ids)
    return {"input_ids": on_meta, "pixel_values": pixels}


def _count_features(module: Any, pixels: torch.Tensor) -> int | None:
    """Places among the tokens that the features of all images take; None where the model does not tell."""
    try:
        with torch.inference_mode():
            features = module.get_image_features(pixel_values=pixels)
    except Exception:  # it takes more than pixels; whatever a model's own code raises
        return None
    features = getattr(features, "pooler_output", features)
    width = module.config.get_text_config().hidden_size
    elements = sum(leaf.numel() for leaf in tree_leaves(features) if isinstance(leaf, torch.Tensor))
    return elements // width if elements and elements % width == 0 else None


def towers_left_out(module: Any, called: Iterable[str]) -> str:
    """The towers of a model, by name, of which no module was called; '' where there are none."""
    kinds = {type(part) for name in _PARTS if (part := getattr(module.config, name, None)) is not None}
    towers: list[str] = []
    for name, part in list_modules(module):
        is_tower = name and type(getattr(part, "config", None)) in kinds - {type(module.config)}
        if is_tower and not any(name.startswith(f"{above}.") for above in towers):
            towers.append(name)
    paths = list(called)
    missing = [name for name in towers if not any(path == name or path.startswith(f"{name}.") for path in paths)]
    return ", ".join(missing)
