"""What would change the energy: the same model traced and predicted again with one thing changed."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from irene.errors import BadInput
from irene.explanation.comparing import count_tokens
from irene.explanation.explanation import Counterfactual
from irene.explanation.shared_errors import SharedErrors, spread_between
from irene.model_tree.tree import ModelTree
from irene.model_tree.workload import Workload
from irene.predictor.prediction import Prediction
from irene.primitives.kinds import kind_of
from irene.tracing.known_trees import choose_dtype, trace_or_find
from irene.tracing.sources import NamedConfig

Ask = Callable[[Any], Prediction]
"""A tree -> its prediction."""

_OTHER_DTYPE = {"bfloat16": "float32", "float16": "float32", "float32": "bfloat16", "tf32": "bfloat16"}
_IMPLEMENTATIONS = {"eager": "attention not fused", "sdpa": "fused attention"}


@dataclass(frozen=True, slots=True)
class Change:
    """One thing changed: its aspect, in words, and the workload or the attention implementation that it means."""

    aspect: str
    words: str
    workload: Workload
    attention: str = ""


def ask_all(
    base: Prediction, model: Any, ask: Ask, shared_errors: SharedErrors | None = None
) -> tuple[tuple[Counterfactual, ...], tuple[str, ...]]:
    """Every counterfactual that applies, and for the others lines that say why not, one a reason.

    `model` is the config that `base` was traced from, or `None` where that is not known: a saved tree and a module with
    example inputs can only change their execution. Changes that cannot be traced are among the lines.
    """
    found: list[Counterfactual] = []
    refused: dict[str, list[str]] = {}
    for change in list_changes(base):
        try:
            changed = ask(_retrace(base, model, change))
            found.append(judge_change(base, change.aspect, change.words, changed, shared_errors))
        except BadInput as error:
            refused.setdefault(str(error), []).append(change.words)
    return tuple(found), tuple(f"{', '.join(words)}: {reason}" for reason, words in refused.items())


def list_changes(base: Prediction) -> Iterator[Change]:
    """The changes that make sense for a prediction, in the order in which they are shown."""
    work = base.tree.workload
    other = "cuda_graph" if work.execution == "eager" else "eager"
    yield Change("execution", f"{other} instead of {work.execution}", replace(work, execution=other))
    if dtype := _OTHER_DTYPE.get(work.dtype):  # a module may be of another one
        yield Change("dtype", f"{dtype} instead of {work.dtype}", replace(work, dtype=dtype))
    sizes = [work.batch_size * 2, *([work.batch_size // 2] if work.batch_size > 1 else [])]
    for size in sizes:
        yield Change("batch_size", f"batch {size} instead of {work.batch_size}", replace(work, batch_size=size))
    if work.seq_len is not None and work.seq_len > 1:
        half, decoder = work.seq_len // 2, work.decoder_seq_len
        shorter = replace(work, seq_len=half, decoder_seq_len=None if decoder is None else max(1, decoder // 2))
        yield Change("seq_len", f"{half} tokens instead of {work.seq_len}", shorter)
    kinds = {kind_of(node.call) for node in base.tree.root.leaves if node.call is not None}
    if "attention" in kinds or "softmax" in kinds:
        implementation = "eager" if "attention" in kinds else "sdpa"
        yield Change("attention", _IMPLEMENTATIONS[implementation], work, implementation)


def judge_change(
    base: Prediction, aspect: str, words: str, changed: Prediction, shared_errors: SharedErrors | None = None
) -> Counterfactual:
    """A changed prediction against the present one. Raises BadInput where one of them uses no energy."""
    if min(base.energy_j, changed.energy_j) <= 0:  # views alone, in a captured graph
        raise BadInput("has no ratio: one of the two is predicted to use no energy.")
    spread = spread_between(base, changed, shared_errors)
    ratio = changed.energy_j / base.energy_j
    work, other = base.tree.workload, changed.tree.workload
    tokens, other_tokens = count_tokens(work), count_tokens(other)
    per_sample = ratio * work.batch_size / other.batch_size
    per_token = ratio * tokens / other_tokens if tokens and other_tokens else None
    judged = per_sample if per_token is None else per_token
    low, high = spread.around(judged)
    return Counterfactual(
        aspect=aspect,
        change=words,
        workload=other,
        energy_j=changed.energy_j,
        interval_j=changed.interval_j,
        duration_s=changed.duration_s,
        ratio=ratio,
        interval_ratio=spread.around(ratio),
        ratio_per_sample=per_sample,
        ratio_per_token=per_token,
        is_significant=not low <= 1.0 <= high,
    )


def _retrace(base: Prediction, model: Any, change: Change) -> ModelTree:
    if base.generation is not None:
        raise BadInput("is asked of one pass, not of a generation; 'irene compare' sets two of those side by side.")
    if change.aspect == "execution":
        return base.tree.with_workload(execution=change.workload.execution)
    if model is None:
        raise BadInput("needs the model again: give its name or config, not a saved tree, a prediction or a module.")
    choose_dtype(model, change.workload.dtype)  # a module has its own
    if change.attention:
        model = _with_attention(model, change.attention)
    tree = trace_or_find(model, change.workload)
    if change.attention and tree.root == base.tree.root:
        raise BadInput(f"its attention is {change.attention!r} already, or it has no other.")
    return replace(tree, model=base.tree.model)


def _with_attention(model: Any, implementation: str) -> Any:
    """The config of a model with another attention implementation."""
    if not isinstance(model, NamedConfig) and not hasattr(model, "model_type"):
        raise BadInput("needs the config of the model: a module has its attention already.")

    def change() -> Any:
        config = copy.deepcopy(model.config if isinstance(model, NamedConfig) else model)
        config._attn_implementation = implementation
        return config

    if not isinstance(model, NamedConfig):
        return change()
    return replace(model, make=change, content=model.content and json.dumps([model.content, implementation]))
