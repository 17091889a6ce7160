"""Learned vectors before the input: a soft prompt lengthens the sequence, a prefix the keys and values alone."""

from __future__ import annotations

import inspect
from typing import Any

import torch

from irene.errors import BadInput
from irene.variants.fields import HEADS, KEY_VALUE_HEADS, LAYERS, WIDTH, find_field, read_size, text_of
from irene.variants.registry import register_variant


class Prompted(torch.nn.Module):
    """A model of [P ; embedding(x)]: P (p, d) learned, so that it sees p + L positions."""

    main_input_name = "input_ids"

    def __init__(self, model: Any, tokens: int) -> None:
        super().__init__()
        self.model, self.config, self.tokens = model, model.config, tokens
        words = model.get_input_embeddings()
        self.prompt = _embedding(tokens, words.embedding_dim, words.weight)
        self.numbers: torch.Tensor
        self.register_buffer("numbers", torch.arange(tokens, device=words.weight.device), persistent=False)

    def forward(self, input_ids: torch.Tensor) -> Any:
        rows = len(input_ids)
        words = self.model.get_input_embeddings()(input_ids)
        prompt = self.prompt(self.numbers[None].expand(rows, -1)[:1]).repeat(rows, 1, 1)  # as PEFT does it
        return self.model(inputs_embeds=torch.cat((prompt, words), dim=1))


class Prefixed(torch.nn.Module):
    """A model that finds p learned keys and values in the cache of every layer, before those of its L positions."""

    main_input_name = "input_ids"

    def __init__(self, model: Any, tokens: int) -> None:
        super().__init__()
        self.model, self.config, self.tokens = model, model.config, tokens
        text = text_of(model.config)
        heads, self.layers = read_size(text, HEADS, "number of heads"), read_size(text, LAYERS, "number of layers")
        width = read_size(text, WIDTH, "width")
        own = getattr(text, find_field(text, KEY_VALUE_HEADS) or "", None)
        self.heads = own if isinstance(own, int) else heads
        self.head_size = getattr(text, "head_dim", None) or width // heads
        takes = inspect.signature(model.forward).parameters
        self.cache_name = "cache" if "cache" in takes else "past_key_values"  # before transformers 5.24
        weight = model.get_input_embeddings().weight
        self.prefix = _embedding(tokens, 2 * self.layers * self.heads * self.head_size, weight)
        self.numbers: torch.Tensor
        self.register_buffer("numbers", torch.arange(tokens, device=weight.device), persistent=False)

    def forward(self, input_ids: torch.Tensor) -> Any:
        from transformers import DynamicCache

        rows = len(input_ids)
        learned = self.prefix(self.numbers[None].expand(rows, -1))
        learned = learned.view(rows, self.tokens, 2 * self.layers, self.heads, self.head_size)
        pairs = learned.permute(2, 0, 3, 1, 4).split(2)  # (2, rows, heads, p, head size) of each layer
        return self.model(input_ids=input_ids, **{self.cache_name: DynamicCache(pairs)})


@register_variant("prompt", "Lester et al., Prompt Tuning, arXiv 2104.08691", of_modules=True)
def prompt(module: Any, tokens: int = 20) -> Prompted:
    """So many learned vectors before the embedded input: the sequence is as much longer."""
    _check(module, tokens, "prompt")
    return Prompted(module, tokens)


@register_variant("prefix", "Li and Liang, Prefix-Tuning, arXiv 2101.00190", of_modules=True)
def prefix(module: Any, tokens: int = 20) -> Prefixed:
    """So many learned keys and values before those of every layer: no position more, only the cache."""
    _check(module, tokens, "prefix")
    return Prefixed(module, tokens)


def _check(module: Any, tokens: int, variant: str) -> None:
    if tokens < 1:
        raise BadInput(f"+{variant}: expected 1 token or more, got {tokens}.")
    if not hasattr(module, "get_input_embeddings") or getattr(module.config, "is_encoder_decoder", False):
        raise BadInput(f"+{variant}: {type(module).__name__} is no encoder or decoder of transformers alone.")


def _embedding(count: int, width: int, like: torch.Tensor) -> torch.nn.Embedding:
    return torch.nn.Embedding(count, width, device=like.device, dtype=like.dtype)
