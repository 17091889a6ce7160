"""Decode steps of bundled models on meta: the calls between two new tokens of `generate`, or of one static-cache step.

`generate` itself is traced, not a bare step: it switches mixtures of experts to batched products while decoding, and
between two steps it casts the scores, takes the largest and waits for the answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from irene.errors import BadInput, Untraceable
from irene.model_tree.tree import Node
from irene.model_tree.workload import Workload
from irene.primitives.call import Call
from irene.tracing.building import build_model
from irene.tracing.generate_tracing import TRACED_TOKENS
from irene.tracing.generation import Generation, generation_task, ones
from irene.tracing.inputs import build_inputs, check_positions, torch_dtype
from irene.tracing.recording import record_call
from irene.tracing.shortening import shorten
from irene.tracing.sources import load_config

# How much longer than its context a static cache is.
_SPARE_TOKENS = 32


class StaticSteps(torch.nn.Module):
    """Two forward passes of one token over a static cache; the first makes the cache's tensors."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, cache: Any) -> None:
        for _ in range(2):
            self.model(input_ids=input_ids, past_key_values=cache)


def trace_decode_calls(name: str, batch_size: int, context_len: int, dtype: str, cache: str) -> Iterator[Call]:
    """The distinct calls of one decode step over `context_len` tokens; two layers of each stack stand for all.

    `cache` is 'dynamic' (a step of `generate`, with what it does between steps) or 'static' (a bare step). Raises
    BadInput (and its kinds) where the model cannot do it.
    """
    config = shorten(load_config(name))
    workload = Workload(batch_size=batch_size, seq_len=context_len, dtype=dtype, task=generation_task(config))
    check_positions(config, workload)
    model = build_model(config, workload.task, torch_dtype(dtype), "meta")
    calls = _static_calls(model, workload) if cache == "static" else _generate_calls(model, workload)
    return iter(dict.fromkeys(calls))


def _generate_calls(model: Any, workload: Workload) -> Iterator[Call]:
    inputs = build_inputs(model.config, "input_ids", workload, torch.device("meta"))
    inputs.pop("decoder_input_ids", None)
    inputs["attention_mask"] = ones(workload.batch_size, workload.seq_len or 1)
    root = record_call(Generation(model, TRACED_TOKENS), (), inputs)
    passes = [at for at, child in enumerate(root.children) if child.call is None and child.path == "model"]
    if len(passes) != TRACED_TOKENS:
        raise Untraceable(f"generate made {len(passes)} passes for {TRACED_TOKENS} tokens.")
    for node in root.children[passes[-2] + 1 :]:
        yield from _calls_of(node)


def _static_calls(model: Any, workload: Workload) -> Iterator[Call]:
    from transformers import StaticCache

    if workload.task != "causal-lm":
        raise BadInput("A step over a static cache is traced of decoders only.")
    cache = StaticCache(config=model.config, max_cache_len=(workload.seq_len or 1) + _SPARE_TOKENS)
    one_token = replace(workload, seq_len=1)
    ids = build_inputs(model.config, "input_ids", one_token, torch.device("meta"))
    root = record_call(StaticSteps(model), (), {**ids, "cache": cache})
    yield from _calls_of(root.children[-1])


def _calls_of(node: Node) -> Iterator[Call]:
    if node.call is not None:
        yield node.call
        return
    yield from (leaf.call for leaf in node.leaves if leaf.call is not None)
