"""The real greedy `generate` of a model, recorded and cut where it asks whether to go on.

A bare step is no step of `generate`, which switches mixtures of experts to batched products while decoding, and between
two steps casts the scores, takes the largest, and waits for the answer. So the whole is recorded for three tokens, and
cut behind the last value that is read back between two passes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from irene.errors import BadInput
from irene.model_tree.workload import Workload
from irene.tracing.building import build_model, class_for
from irene.tracing.inputs import build_inputs, torch_dtype
from irene.tracing.known_values import set_value
from irene.tracing.phases import rename
from irene.tracing.recording import Prepared, Recording, record_afresh
from irene.tracing.towers import add_images


class Generation(torch.nn.Module):
    """One whole greedy `generate` of a fixed number of tokens, as a module that can be recorded.

    `cache_len` asks for a static cache of so many tokens. Of the tokens that are given, the first `context_len` are in
    the cache already: one pass of their own puts them there.
    """

    def __init__(self, model: Any, new_tokens: int, cache_len: int | None = None, context_len: int = 0) -> None:
        super().__init__()
        self.model, self.new_tokens, self.cache_len, self.context_len = model, new_tokens, cache_len, context_len
        complete_generation_config(model)

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        count, given = self.new_tokens, {}
        if self.cache_len is not None or self.context_len:
            given = {"past_key_values": make_cache(self.model.config, self.cache_len), "disable_compile": True}
        if self.context_len:
            self.model(input_ids=inputs["input_ids"][:, : self.context_len], past_key_values=given["past_key_values"])
        tokens: torch.Tensor = self.model.generate(
            **inputs, **given, do_sample=False, num_beams=1, min_new_tokens=count, max_new_tokens=count,
            pad_token_id=self.model.config.get_text_config().vocab_size - 1 if self.model.device.type == "meta" else 0,
        )  # fmt: skip
        return tokens


class Continuation(torch.nn.Module):
    """A pass over tokens that finds others in the cache, put there as a prefill and a step leave it."""

    def __init__(self, model: Any, cache_len: int | None) -> None:
        super().__init__()
        self.model, self.cache_len = model, cache_len

    def forward(self, context_ids: torch.Tensor, input_ids: torch.Tensor) -> Any:
        cache = make_cache(self.model.config, self.cache_len)
        for ids in context_ids.split([context_ids.shape[1] - 1, 1], dim=1):
            if ids.shape[1]:
                self.model(input_ids=ids, past_key_values=cache)
        return self.model(input_ids=input_ids, past_key_values=cache)


def make_cache(config: Any, cache_len: int | None) -> Any:
    """The library's empty cache: static for `cache_len` tokens, or one that grows."""
    from transformers import DynamicCache, StaticCache

    text = config.get_text_config(decoder=True)
    return DynamicCache(config=text) if cache_len is None else StaticCache(config=text, max_cache_len=cache_len)


def complete_generation_config(model: Any) -> None:
    """Give the start token that the configs of some encoder-decoders lack; on meta, an end token that never comes.

    There the largest scores are taken to lie at 0, 1, 2, ...: an end token among them would end the generation, and
    padding among them would be cut off (Whisper).
    """
    settings = getattr(model, "generation_config", None)
    if settings is None:  # what a variant made of a module
        raise BadInput(f"{type(model).__name__} generates no tokens; leave new_tokens at 0.")
    if getattr(model.config, "is_encoder_decoder", False) and settings.decoder_start_token_id is None:
        settings.decoder_start_token_id = 0
    if model.device.type == "meta" and settings.eos_token_id is not None:
        settings.eos_token_id = model.config.get_text_config().vocab_size - 1


def generation_task(config: Any) -> str:
    """The task whose model of this architecture generates. Raises BadInput where none does."""
    is_two_part = getattr(config, "is_encoder_decoder", False)
    tasks = ("seq2seq-lm",) if is_two_part else ("causal-lm", "image-text-to-text", "seq2seq-lm")
    found = next((task for task in tasks if class_for(config, task) is not None), None)
    if found is None or (not is_two_part and getattr(config, "is_decoder", True) is False):
        raise BadInput(f"A {config.model_type} model generates no tokens; leave new_tokens and context_len at 0.")
    return found


def trace_continuation(config: Any, workload: Workload) -> Recording:
    """Record one pass over `workload.seq_len` tokens that finds `workload.context_len` in the cache.

    A bare pass, not a step of `generate`. Raises BadInput for a model without such a cache, Untraceable and its kinds.
    """
    generation_task(config)
    if getattr(config, "is_encoder_decoder", False):
        raise BadInput("context_len is of decoders; of an encoder-decoder ask for a generation (new_tokens).")

    def prepare() -> Prepared:
        model = build_model(config, workload.task, torch_dtype(workload.dtype), "meta", workload.gpus)
        sizes = {"context_ids": workload.context_len, "input_ids": workload.seq_len or 1}
        meta = torch.device("meta")
        ids = {name: build_inputs(config, "input_ids", plain_tokens(workload, n), meta) for name, n in sizes.items()}
        return Prepared(Continuation(model, workload.static_len), (), {name: i["input_ids"] for name, i in ids.items()})

    found = record_afresh(prepare)
    last = found.root.children[-1]
    count = sum(1 for _ in last.leaves)
    (moved,) = rename([last], lambda path: path.removeprefix("model").removeprefix("."))
    return found._replace(root=replace(moved, kind="model"), alive_bytes=found.alive_bytes[-count:] if count else ())


def generate_inputs(model: Any, workload: Workload, prompt_len: int) -> dict[str, torch.Tensor]:
    """What `generate` is given on meta: a prompt with its mask of ones, or an encoder's input and a decoder's start."""
    meta, config = torch.device("meta"), model.config
    if not getattr(config, "is_encoder_decoder", False):
        given = build_inputs(config, "input_ids", plain_tokens(workload, prompt_len), meta)
        inputs = add_images(model, {"input_ids": given["input_ids"]}, workload)
        return inputs | {"attention_mask": ones(*inputs["input_ids"].shape)}
    inputs = build_inputs(config, model.main_input_name, replace(workload, decoder_seq_len=prompt_len), meta)
    start = inputs.pop("decoder_input_ids")
    if "input_ids" in inputs:
        inputs["attention_mask"] = ones(*inputs["input_ids"].shape)
    return inputs | ({"decoder_input_ids": start} if prompt_len > 1 else {})


def plain_tokens(workload: Workload, count: int) -> Workload:
    """The workload as one input of so many tokens, with no cache before it."""
    return replace(workload, seq_len=count, context_len=0, new_tokens=0, cache="dynamic", cache_len=None)


def ones(*shape: int) -> torch.Tensor:
    """A mask of ones on meta, known to be that."""
    mask = torch.empty(shape, dtype=torch.int64, device="meta")
    set_value(mask, torch.ones(shape, dtype=torch.int64))
    return mask
