"""Generations as things to call on the GPU: a whole `generate`, or one decode step over a cache that stays as it is.

Before each call an eager step gets the same cache back: the tensors that real steps left, not a crop of longer ones,
whose strides would make another kernel run. A static cache counts its tokens on the device; one kernel a step takes
the new one back, or a long loop would run past the cache's end.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from irene.errors import BadInput, MeterError
from irene.measuring.expert_routing import has_experts, watch_expert_loads
from irene.measuring.plan import GenerationCase
from irene.measuring.targets import BuiltModel, Target, captured_if_asked
from irene.model_tree.tree import ModelTree, Node
from irene.tracing.generate_tracing import TRACED_TOKENS
from irene.tracing.generation import Generation
from irene.tracing.inputs import build_inputs, check_positions
from irene.tracing.recording import record_call
from irene.tracing.tracer import trace_versions

_Run = Callable[[], object]


def prepare_generation(built: BuiltModel, case: GenerationCase, device: torch.device, seed: int) -> Target:
    """Make a case callable; its tree is recorded from real calls on this device.

    Raises BadInput for a model that has no such step, MeterError for a generation of another length than asked.
    """
    longest = (case.workload.seq_len or 1) + case.context_len + case.workload.new_tokens
    check_positions(built.config, replace(case.workload, seq_len=longest))
    if not case.cache:
        return _whole(built, case, device, seed)
    if getattr(built.config, "is_encoder_decoder", False):
        raise BadInput("One decode step of an encoder-decoder is not measured; its whole generate is.")
    step = _dynamic_step if case.cache == "dynamic" else _static_step
    with torch.inference_mode():
        run, root = step(built, case, device, seed)
    tree = ModelTree(root, built.name, case.workload, trace_versions())
    loads = watch_expert_loads(run) if has_experts(root) else None
    return Target(captured_if_asked(run, case.workload, device), tree, root.type, loads)


def _whole(built: BuiltModel, case: GenerationCase, device: torch.device, seed: int) -> Target:
    batch_size, count = case.workload.batch_size, case.workload.new_tokens
    ids = _token_ids(built, case, case.workload.seq_len or 1, device, seed)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    generation, first_steps = Generation(built.module, count), Generation(built.module, TRACED_TOKENS)
    root = record_call(first_steps, (), inputs)

    def run() -> object:
        return generation(**inputs)

    with torch.inference_mode():
        tokens = generation(**inputs)
        loads = watch_expert_loads(lambda: first_steps(**inputs)) if has_experts(root) else None
    prompt = 1 if getattr(built.config, "is_encoder_decoder", False) else ids.shape[1]
    if tuple(tokens.shape) != (batch_size, prompt + count):
        raise MeterError(f"generate gave {tuple(tokens.shape)} tokens, expected {(batch_size, prompt + count)}.")
    tree = ModelTree(root, built.name, replace(case.workload, new_tokens=TRACED_TOKENS), trace_versions())
    return Target(run, tree, type(built.module).__name__, loads)


def _dynamic_step(built: BuiltModel, case: GenerationCase, device: torch.device, seed: int) -> tuple[_Run, Node]:
    from transformers import DynamicCache

    model, token = built.module, _token_ids(built, case, 1, device, seed + 1)
    cache = DynamicCache(config=built.config.get_text_config(decoder=True))
    if case.context_len > 1:
        _fill(model, cache, _token_ids(built, case, case.context_len - 1, device, seed))
    model(input_ids=token, past_key_values=cache)  # a step, so that the tensors are those that a step leaves
    kept = [dict(vars(layer)) for layer in cache.layers]
    if cache.get_seq_length() != case.context_len or any("keys" not in state for state in kept):
        raise BadInput(f"Its cache is no cache of keys and values alone: {type(cache.layers[0]).__name__}.")

    def run() -> object:
        for layer, state in zip(cache.layers, kept, strict=True):
            vars(layer).update(state)
        return model(input_ids=token, past_key_values=cache)

    run()
    for layer, state in zip(cache.layers, kept, strict=True):
        vars(layer).update(state)
    return run, record_call(model, (), {"input_ids": token, "past_key_values": cache})


def _static_step(built: BuiltModel, case: GenerationCase, device: torch.device, seed: int) -> tuple[_Run, Node]:
    from transformers import StaticCache

    model, token = built.module, _token_ids(built, case, 1, device, seed + 1)
    cache = StaticCache(config=built.config.get_text_config(decoder=True), max_cache_len=case.cache_len)
    _fill(model, cache, _token_ids(built, case, case.context_len, device, seed))
    counters = [layer.cumulative_length for layer in cache.layers if _counts_on_device(layer)]
    if len(counters) != len(cache.layers):
        raise BadInput("Not all layers of its static cache count their tokens on the device.")
    before = [int(counter) for counter in counters]
    on_host = [_host_counts(layer) for layer in cache.layers]
    root = record_call(model, (), {"input_ids": token, "past_key_values": cache})
    # A layer that is past its window moves its tokens on, and counts them on the host alone.
    counting = [counter for counter, count in zip(counters, before, strict=True) if int(counter) == count + 1]

    def take_back() -> None:
        if counting:
            torch._foreach_sub_(counting, 1)
        for layer, counts in zip(cache.layers, on_host, strict=True):
            vars(layer).update(counts)

    def run() -> object:
        output = model(input_ids=token, past_key_values=cache)
        take_back()
        return output

    take_back()
    run()
    if (seen := [int(counter) for counter in counters]) != before:
        raise MeterError(f"The static cache counts {seen[0]} tokens after a step was taken back, not {before[0]}.")
    return run, root


def _counts_on_device(layer: Any) -> bool:
    return isinstance(getattr(layer, "cumulative_length", None), torch.Tensor)


def _host_counts(layer: Any) -> dict[str, int]:
    return {name: value for name, value in vars(layer).items() if name.startswith("cumulative") and type(value) is int}


def _fill(model: torch.nn.Module, cache: Any, ids: torch.Tensor) -> None:
    """One prefill into a cache; its head sees the last token alone, where the model lets it."""
    takes = inspect.signature(model.forward).parameters
    last_only = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
    model(input_ids=ids, past_key_values=cache, **last_only)


def _token_ids(built: BuiltModel, case: GenerationCase, length: int, device: torch.device, seed: int) -> torch.Tensor:
    inputs = build_inputs(built.config, "input_ids", replace(case.workload, seq_len=length), device, seed)
    return inputs["input_ids"]
