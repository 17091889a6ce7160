"""Run one call of a module under a recorder: hooks on and off again, and every error with its place and reason."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import torch

from irene.errors import IreneError, Untraceable
from irene.model_tree.tree import Node
from irene.tracing.constants import watched_constants
from irene.tracing.dispatch import DispatchRecorder, record_list_index
from irene.tracing.fused import fast_paths
from irene.tracing.recorder import Recorder
from irene.tracing.repeats import Repeats

_PADDED = (
    "An encoder got a padding mask and is shown padded; on a GPU torch may pack its sequences by their true lengths, "
    "which are data, and then does less work."
)


def record_call(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Node:
    """The tree of one call; whatever the model raises becomes Untraceable with its place.

    >>> record_call(torch.nn.ReLU(), (torch.zeros(2, device="meta"),), {}).children[0].type
    'aten.relu.default'
    """
    return record_with_notes(module, args, kwargs)[0]


def record_with_notes(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], repeats: Repeats | None = None
) -> tuple[Node, tuple[str, ...]]:
    """As `record_call`, with what had to be assumed, in sentences.

    With `repeats`, layers that repeat one before have no children, and `repeats.of` says which one they repeat.
    """
    recorder: Recorder | None = None
    try:
        recorder = Recorder(module, None if repeats is None else repeats.twins.index)
        with _recording(recorder), nullcontext() if repeats is None else repeats.watching(recorder):
            module(*args, **kwargs)
    except IreneError:
        raise
    except Exception as error:  # a model's own code may raise anything
        place = recorder.place if recorder is not None else "The root module"
        reason = _reason_of(error)
        raise Untraceable(f"{place} cannot be traced: {reason}") from error
    if recorder.root is None:
        raise Untraceable(f"Calling {type(module).__name__} showed no call of a torch.nn.Module; is it compiled?")
    return recorder.root, (*sorted(recorder.assumes), *([_PADDED] if recorder.keeps_padding else []))


@contextmanager
def _recording(recorder: Recorder) -> Iterator[None]:
    """Everything called inside is recorded; hooks are removed whatever happens."""
    hooks = torch.nn.modules.module
    with ExitStack() as stack:
        pre = hooks.register_module_forward_pre_hook(lambda module, _: recorder.enter(module))
        stack.callback(pre.remove)
        post = hooks.register_module_forward_hook(lambda _, __, out: recorder.leave(out), always_call=True)
        stack.callback(post.remove)
        stack.enter_context(without_collections())
        stack.enter_context(fast_paths(partial(setattr, recorder, "keeps_padding", True)))
        stack.enter_context(watched_constants(partial(record_list_index, recorder)))
        stack.enter_context(torch.inference_mode())
        stack.enter_context(DispatchRecorder(recorder))
        yield


@contextmanager
def without_collections() -> Iterator[None]:
    """Thousands of small values are made, none in circles: looking for circles would cost a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _reason_of(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    if isinstance(error, NotImplementedError):  # what torch raises where a meta tensor would need data
        first = lines[0].split(". ")[0][:120]
        return f"it needs the values of a tensor, which are unknown without running it ({first})."
    if isinstance(error, IndexError) and _raised_in(error) == "cache_utils.py":
        return (
            "its key-value cache has fewer layers than its decoder. transformers makes one for each of the config's "
            "num_hidden_layers, which counts the encoder's here: set num_hidden_layers to the number of decoder layers."
        )
    return f"{type(error).__name__}: {lines[0][:300]}"


def _raised_in(error: Exception) -> str:
    """The name of the file that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    return Path(frames[-1].filename).name if frames else ""
