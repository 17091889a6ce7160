"""What a model is asked to do: one value, built once at each door, and checked where it is built."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from irene.errors import BadInput, UnknownName
from irene.model_tree.expert_routing import BALANCED, check_routing, describe_routing
from irene.primitives.call import DTYPE_BYTES

SIZES = {
    "batch_size": 1, "seq_len": 1, "decoder_seq_len": 1, "new_tokens": 0, "images": 0, "context_len": 0, "cache_len": 1,
    "gpus": 1,
}  # fmt: skip
"""The whole numbers of a workload, and the least that each may be."""

EXECUTIONS = ("eager", "cuda_graph")
"""PyTorch as it is, or the same kernels replayed without the host."""

DTYPES = ("float32", "tf32", "float16", "bfloat16")
"""What can be asked for: a dtype of weights, or float32 with products in TF32. A module may be of another."""

DEFAULT_DTYPE = "bfloat16"

HUB_TASKS = {
    "feature-extraction": "base", "sentence-similarity": "base", "image-feature-extraction": "base",
    "text-generation": "causal-lm", "fill-mask": "masked-lm", "text2text-generation": "seq2seq-lm",
    "summarization": "seq2seq-lm", "translation": "seq2seq-lm", "text-classification": "sequence-classification",
    "zero-shot-classification": "sequence-classification", "text-ranking": "sequence-classification",
}  # fmt: skip
"""Names that the Hub's model pages have for a task (https://huggingface.co/tasks), and ours for its class."""

CACHES = ("dynamic", "static")
"""Kinds of key-value caches: one that grows with each token, or one that was made for so many."""

_OPTIONAL = ("seq_len", "decoder_seq_len", "images", "cache_len")
_MOST_TOKENS = 2**34  # whose ids are 137 GB


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What the model is asked to do.

    `seq_len` counts tokens (of the encoder, where there are two); `None` where the config fixes the input (images).
    `images` a sample stand before the text of a model that reads both (`None`: as many as is usual, one; 0: none).
    `new_tokens` > 0 means a generation. `execution` is 'eager' or 'cuda_graph'. `context_len` tokens are in the
    key-value cache already; it grows ('dynamic') or has room for `cache_len` tokens ('static'). Several `gpus` of one
    host share the model by tensor parallelism: all of them do the whole batch. `expert_routing` is how tokens go to
    experts (`irene.model_tree.expert_routing`). Raises BadInput for sizes that are no whole numbers or too small and
    for settings that mean nothing together, UnknownName for a dtype, an execution or a cache.

    >>> Workload(batch_size=0)
    Traceback (most recent call last):
    ...
    irene.errors.BadInput: batch_size must be a whole number of at least 1, got 0.
    """

    batch_size: int = 1
    seq_len: int | None = 128
    decoder_seq_len: int | None = None
    dtype: str = DEFAULT_DTYPE
    task: str = "base"
    execution: str = "eager"
    new_tokens: int = 0
    images: int | None = None
    context_len: int = 0
    cache: str = "dynamic"
    cache_len: int | None = None
    gpus: int = 1
    expert_routing: str = BALANCED

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", read_task(self.task))
        object.__setattr__(self, "expert_routing", check_routing(self.expert_routing))
        check_sizes({name: getattr(self, name) for name in SIZES})
        tokens = self.batch_size * max(self.seq_len or 1, self.decoder_seq_len or 1)
        if tokens > _MOST_TOKENS:
            raise BadInput(
                f"{tokens:,} tokens in one pass are beyond any machine: their ids alone take {8 * tokens / 1e9:,.0f} "
                f"GB. Give at most {_MOST_TOKENS:,} (batch_size x seq_len)."
            )
        if self.dtype not in DTYPE_BYTES and self.dtype not in DTYPES:
            raise UnknownName("dtype", self.dtype, DTYPES)
        if self.execution not in EXECUTIONS:
            raise UnknownName("execution", self.execution, EXECUTIONS)
        if self.cache not in CACHES:
            raise UnknownName("cache", self.cache, CACHES)
        self._check_cache()

    @property
    def static_len(self) -> int | None:
        """Tokens that a static cache has room for; None where the cache grows."""
        return None if self.cache == "dynamic" else self.cache_len or self._needed_len

    @property
    def _needed_len(self) -> int:
        return self.context_len + (self.seq_len or 0) + self.new_tokens

    def _check_cache(self) -> None:
        if self.cache_len is not None and self.cache == "dynamic":
            raise BadInput(
                "cache_len is what a static cache has room for; a dynamic one grows. Give cache 'static' too."
            )
        if self.cache == "static" and not (self.context_len or self.new_tokens):
            raise BadInput("A static cache needs a context (context_len) or a generation (new_tokens) to be of use.")
        if self.cache_len is not None and self.cache_len < self._needed_len:
            parts = "context, entering and new tokens"
            raise BadInput(f"cache_len must be at least {self._needed_len}, for {parts}; got {self.cache_len}.")


def check_sizes(sizes: Mapping[str, Any], prefix: str = "", joint: str = "_") -> None:
    """Raise BadInput for a size that is no whole number, or too small; other keys are left alone.

    `prefix` and `joint` spell the names as the user does: `--batch-size`.
    """
    for name, least in SIZES.items():
        value = sizes.get(name, least)
        if value is None and name in _OPTIONAL:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            shown = prefix + name.replace("_", joint)
            raise BadInput(f"{shown} must be a whole number of at least {least}, got {value!r}.")


def read_dtype(dtype: Any) -> str:
    """The name of a dtype given as a name or as torch's own; of `None` the default. Raises UnknownName.

    >>> read_dtype("float16"), read_dtype(None)
    ('float16', 'bfloat16')
    """
    name = DEFAULT_DTYPE if dtype is None else str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise UnknownName("dtype", name, DTYPES)
    return name


def read_task(task: Any) -> Any:
    """The name of a task, given as irene or as the Hub calls it; whether a model has it is found when it is built.

    >>> read_task("text-classification"), read_task("causal-lm")
    ('sequence-classification', 'causal-lm')
    """
    return HUB_TASKS.get(task, task) if isinstance(task, str) else task


def describe_workload(work: Workload) -> str:
    """A workload in words.

    >>> describe_workload(Workload(batch_size=8))
    'batch 8, 128 tokens, bfloat16, base, eager'
    """
    words = [f"batch {work.batch_size}"]
    words += [f"{work.seq_len} tokens"] if work.seq_len is not None else []
    words += [f"{work.decoder_seq_len} decoder tokens"] if work.decoder_seq_len is not None else []
    words += [f"{work.images} image{'s' * (work.images > 1)} a sample"] if work.images else []
    words += [f"{work.context_len} tokens of context"] if work.context_len else []
    words += [f"{work.new_tokens} new tokens"] if work.new_tokens else []
    words += [f"static cache of {work.static_len}"] if work.static_len else []
    words += [f"{work.gpus} GPUs"] if work.gpus > 1 else []
    words += [describe_routing(work.expert_routing)] if work.expert_routing != BALANCED else []
    return ", ".join([*words, work.dtype, work.task, work.execution])
