"""Count the parameters of a bundled model in the way that the source of its published number counts them."""

from __future__ import annotations

import torch
import transformers

from irene.tracing.bundled_models import BundledModel

# What a published count includes; each is a different number for one and the same checkpoint.
PUBLISHED_COUNTS = (
    "checkpoint",  # the checkpoint's class, tied weights once
    "base",  # what AutoModel builds: no task head
    "untied-head",  # the checkpoint's class, with a tied output projection counted apart from the input embedding
    "learned",  # the checkpoint's class without parameters that are computed and never trained (sinusoidal positions)
    "non-embedding",  # the checkpoint's class without any embedding and without the language-model head
)


def count_parameters(model: BundledModel, counts: str) -> int:
    """Return the parameters of the model counted in one of the ways in `PUBLISHED_COUNTS`: no weights."""
    assert counts in PUBLISHED_COUNTS, counts
    module = _build_on_meta(model, base=counts == "base")
    # parameters() yields a shared parameter once, so what is tied counts once.
    total = sum(parameter.numel() for parameter in module.parameters())
    if counts == "learned":
        return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)
    if counts == "untied-head":
        embeddings = {id(parameter) for parameter in _embedding_parameters(module)}
        return total + sum(p.numel() for p in _head_parameters(module) if id(p) in embeddings)
    if counts == "non-embedding":
        excluded = {id(p): p for p in (*_embedding_parameters(module), *_head_parameters(module))}
        return total - sum(parameter.numel() for parameter in excluded.values())
    return total


def _embedding_parameters(module: torch.nn.Module) -> tuple[torch.Tensor, ...]:
    return tuple(m.weight for m in module.modules() if isinstance(m, torch.nn.Embedding))


def _head_parameters(module: torch.nn.Module) -> tuple[torch.Tensor, ...]:
    head = getattr(module, "get_output_embeddings", lambda: None)()
    return () if head is None else tuple(head.parameters())


def _build_on_meta(model: BundledModel, base: bool) -> torch.nn.Module:
    config = model.build_config()
    with torch.device("meta"):
        if base:
            module: torch.nn.Module = transformers.AutoModel.from_config(config)
        else:
            module = getattr(transformers, model.architecture)._from_config(config)
    # Without weights to load, some classes leave tied weights apart until told.
    tie = getattr(module, "tie_weights", None)
    if tie is not None:
        tie()
    return module
