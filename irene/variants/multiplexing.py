"""Several inputs in one pass: mixed into one row, encoded together, and taken apart again."""

from __future__ import annotations

import math
from typing import Any

import torch

from irene.errors import BadInput, UnknownName
from irene.variants.registry import module_changes, register_variant

_KINDS, _OUTPUTS = ("hadamard", "contextual"), ("sequence", "token")


class Multiplexer(torch.nn.Module):
    """Rows (b, N, L, d) -> (b, L, d): the mean of e_i * v_i; contextual ones pass a layer over L before, over N after.

    `layers` are none, or those two; each is added to what it got.
    """

    def __init__(self, n: int, width: int, layers: tuple[torch.nn.Module, ...]) -> None:
        super().__init__()
        self.v: torch.Tensor
        self.register_buffer("v", torch.randn(n, width))  # fixed, drawn once
        self.over_length: Any = layers[0] if layers else None
        self.over_inputs: Any = layers[1] if layers else None

    def forward(self, e: torch.Tensor) -> torch.Tensor:
        b, n, length, width = e.shape
        if self.over_length is not None:
            rows = e.reshape(b * n, length, width)
            e = (rows + _hidden(self.over_length(rows))).reshape(b, n, length, width)
        mixed = e * self.v[:, None, :]
        if self.over_inputs is not None:
            across = mixed.transpose(1, 2).reshape(b * length, n, width)
            across = across + _hidden(self.over_inputs(across))
            return across.mean(dim=1).reshape(b, length, width)
        return mixed.mean(dim=1)


class Demultiplexer(torch.nn.Module):
    """(b, P, d) -> (b, N, P, d): of each input i, [k_i ; h] through three linear blocks; k_i are learned."""

    def __init__(self, n: int, width: int) -> None:
        super().__init__()
        self.k = torch.nn.Parameter(torch.randn(n, width))
        sizes = ((2 * width, width), (width, width), (width, width))
        blocks = ((torch.nn.Linear(*size), torch.nn.GELU(), torch.nn.LayerNorm(width)) for size in sizes)
        self.blocks = torch.nn.Sequential(*(part for block in blocks for part in block))

    def forward(self, h: torch.Tensor) -> torch.Tensor:
        b, positions, width = h.shape
        n = len(self.k)
        keys = self.k[None, :, None, :].expand(b, n, positions, width)
        both = torch.cat([keys, h[:, None].expand(b, n, positions, width)], dim=-1)
        answer: torch.Tensor = self.blocks(both)
        return answer


class Multiplexed(torch.nn.Module):
    """An encoder whose rows come `n` at a time: (b N, L) ids -> (b N, d) first positions, or (b N, L, d) of tokens."""

    main_input_name = "input_ids"

    def __init__(self, model: Any, n: int, kind: str, output: str) -> None:
        super().__init__()
        self.config, self.n, self.output = model.config, n, output
        self.embeddings, self.encoder = model.embeddings, model.encoder
        layers = tuple(type(model.encoder.layer[0])(model.config) for _ in _KINDS) if kind == "contextual" else ()
        self.multiplexer = Multiplexer(n, model.config.hidden_size, layers)
        self.demultiplexer = Demultiplexer(n, model.config.hidden_size)

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        rows, length = input_ids.shape
        if rows % self.n:
            raise BadInput(f"+mux: {self.n} inputs share a row; a batch of {rows} is no multiple of it (pad it).")
        embedded = self.embeddings(input_ids)
        hidden = _hidden(self.encoder(self.multiplexer(embedded.reshape(rows // self.n, self.n, length, -1))))
        apart = self.demultiplexer(hidden[:, :1] if self.output == "sequence" else hidden)
        answer: torch.Tensor = apart.flatten(0, 1)
        return answer[:, 0] if self.output == "sequence" else answer


@register_variant("mux", "Murahari et al., MUX-PLMs, arXiv 2302.12441", of_modules=True)
def mux(module: Any, n: int, kind: str = "hadamard", output: str = "sequence") -> Multiplexed:
    """So many inputs share each row of an encoder; kind hadamard or contextual, output sequence or token."""
    for given, known, what in ((kind, _KINDS, "kind of multiplexing"), (output, _OUTPUTS, "output of multiplexing")):
        if given not in known:
            raise UnknownName(what, given, known)
    if n < 1:
        raise BadInput(f"+mux: expected 1 input or more in a row, got {n}.")
    if not hasattr(module, "embeddings") or not hasattr(getattr(module, "encoder", None), "layer"):
        raise BadInput(f"+mux: {type(module).__name__} is no bare encoder like BERT's (embeddings, encoder.layer).")
    parameter = next(module.parameters())
    return Multiplexed(module, n, kind, output).to(parameter.dtype)


def inputs_a_row(config: Any) -> int:
    """How many inputs share a row of a config's model, so that a batch is a multiple of it; 1 of most models.

    >>> from irene.tracing.sources import load_config
    >>> inputs_a_row(load_config("bert-base-uncased+mux:n=5")), inputs_a_row(load_config("bert-base-uncased"))
    (5, 1)
    """
    shared = [int(dict(change.values)["n"]) for change in module_changes(config) if change.variant.name == "mux"]
    return math.prod(shared)


def _hidden(answer: Any) -> torch.Tensor:
    """The hidden states of a layer or encoder, which may come alone, first of several, or by name."""
    found: torch.Tensor = answer if isinstance(answer, torch.Tensor) else answer[0]
    return found
