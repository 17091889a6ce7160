"""Run one call of a module under a recorder: hooks on and off again, and every error with its place and reason.

Nothing global is changed: hooks are those of the recorded module, modes are those of the thread.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils._pytree import tree_leaves

from irene.errors import IreneError, Untraceable, in_one_line
from irene.garbage import without_collections
from irene.model_tree.memory import Memory
from irene.model_tree.tree import Node
from irene.tracing.autocasting import autocast_as_on_a_gpu
from irene.tracing.constants import KnownConstants
from irene.tracing.dispatch import DispatchRecorder
from irene.tracing.forked import alone_in_a_child
from irene.tracing.fused import fast_paths
from irene.tracing.gpu_device import MIXED, NOTE, OnTheGpu, is_about_devices
from irene.tracing.module_index import list_tensors
from irene.tracing.recorder import Recorder
from irene.tracing.repeats import Repeats
from irene.tracing.storages import count_cache_bytes, count_stored_bytes, most_alive_bytes

_PADDED = (
    "An encoder got a padding mask and is shown padded; on a GPU torch may pack its sequences by their true lengths, "
    "which are data, and then does less work."
)


class Recording(NamedTuple):
    """A recorded call: its tree, what had to be assumed, in sentences, and the memory that it needs.

    `alive_bytes` are alive after each leaf, of what the call itself makes: neither weights nor inputs. `has_drawn`:
    random numbers were drawn on the CPU, where they can decide the path.
    """

    root: Node
    notes: tuple[str, ...]
    alive_bytes: tuple[int, ...]
    weight_bytes: int
    input_bytes: int
    cache_bytes: int
    has_drawn: bool = False

    @property
    def memory(self) -> Memory:
        """Of one forward pass: a cache that it returns is among what it makes."""
        calls = (leaf.call for leaf in self.root.leaves if leaf.call is not None)
        alive_bytes = most_alive_bytes(calls, self.alive_bytes)
        return Memory(self.weight_bytes, self.cache_bytes, self.input_bytes + max(alive_bytes - self.cache_bytes, 0))


class Prepared(NamedTuple):
    """What can be recorded once: a module, the arguments of its call, and, where known, all tensors that there are."""

    module: torch.nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    given: Iterable[torch.Tensor] | None = None


def record_call(module: torch.nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Node:
    """The tree of one call; whatever the model raises becomes Untraceable with its place.

    >>> record_call(torch.nn.ReLU(), (torch.zeros(2, device="meta"),), {}).children[0].type
    'aten.relu.default'
    """
    return record_afresh(lambda: Prepared(module, args, kwargs)).root


def record_afresh(prepare: Callable[[], Prepared], needs_constants: bool = False) -> Recording:
    """One call of what `prepare` makes.

    Where that fails, once more with what `prepare` then makes, watching the constants: that takes a fifth longer. And
    where it was for devices that the model names, once more with those taken for the GPU. What `needs_constants` for
    sure is spared the first attempt.
    """
    if not needs_constants:
        with suppress(Untraceable):
            return _record_prepared(prepare(), constants=False)
    try:
        return _record_prepared(prepare(), constants=True)
    except Untraceable as error:
        refusal = error  # the user's, with no other before it
    if is_about_devices(str(refusal)):
        with suppress(Untraceable), OnTheGpu():
            found = _record_prepared(prepare(), constants=True)
            return found._replace(notes=(*found.notes, NOTE))
    raise refusal


def _record_prepared(prepared: Prepared, constants: bool) -> Recording:
    module, args, kwargs, given = prepared
    return record_with_notes(module, args, kwargs, constants=constants, given=given)


def record_with_notes(
    module: torch.nn.Module,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    repeats: Repeats | None = None,
    constants: bool = False,
    given: Iterable[torch.Tensor] | None = None,
) -> Recording:
    """As `record_call`, with what had to be assumed and what was alive.

    With `repeats`, layers that repeat one before have no children, and `repeats.of` says which one they repeat. With
    `constants`, numbers that the model puts on the device are known; without, what would need them is Untraceable.
    `given` are all tensors that there are, where that is known: another that no recorded call made is Untraceable.
    """
    recorder: Recorder | None = None
    try:
        recorder = Recorder(module, None if repeats is None else repeats.twins.index, given)
        inputs = [value for value in tree_leaves((args, dict(kwargs))) if _is_stored(value)]
        recorder.storages.leave_out(inputs)
        with _recording(recorder, constants), nullcontext() if repeats is None else repeats.watching(recorder):
            output = module(*args, **kwargs)
        recorder.strays.check_output(output, recorder.place)
    except IreneError:
        raise
    except (Exception, SystemExit) as error:  # a model's own code may raise anything
        place = recorder.place if recorder is not None else "The root module"
        reason = _reason_of(error)
        raise Untraceable(f"{place} cannot be traced: {reason}") from error
    if recorder.root is None:
        raise Untraceable(f"Calling {type(module).__name__} showed no call of a torch.nn.Module; is it compiled?")
    if recorder.assumes and recorder.made_constants and not constants:
        raise Untraceable("What is assumed may follow from constants that were not watched.")
    notes = (*sorted(recorder.assumes), *([_PADDED] if recorder.keeps_padding else []))
    weight_bytes = count_stored_bytes(list_tensors(recorder.index.modules))
    input_bytes = count_stored_bytes(inputs)
    cache_bytes, alive_bytes = count_cache_bytes(output), tuple(recorder.alive_bytes)
    return Recording(recorder.root, notes, alive_bytes, weight_bytes, input_bytes, cache_bytes, recorder.has_drawn)


def _is_stored(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and not value.is_cpu


@contextmanager
def _recording(recorder: Recorder, constants: bool) -> Iterator[None]:
    """Everything called inside, by this thread, is recorded; hooks are removed whatever happens."""
    modules = recorder.index.modules
    with ExitStack() as stack:
        stack.enter_context(without_collections())
        stack.enter_context(alone_in_a_child())
        stack.enter_context(autocast_as_on_a_gpu())
        stack.enter_context(_hooks(recorder))
        stack.enter_context(fast_paths(modules, id(recorder), partial(setattr, recorder, "keeps_padding", True)))
        stack.enter_context(torch.inference_mode())
        stack.enter_context(DispatchRecorder(recorder))
        if constants:
            stack.enter_context(KnownConstants(recorder.strays.made))
        yield


@contextmanager
def _hooks(recorder: Recorder) -> Iterator[None]:
    """Tell the recorder of every call of its modules: before their own hooks, and whether or not they fail."""

    def enter(module: torch.nn.Module, _: object) -> None:
        recorder.enter(module)

    def leave(_: object, __: object, output: Any) -> None:
        recorder.leave(output)

    modules, number = recorder.index.modules, id(recorder)
    try:
        for module in modules:  # as `register_forward_hook` does it, in a fifth of the time
            before, after = module._forward_pre_hooks, module._forward_hooks
            before[number], after[number], module._forward_hooks_always_called[number] = enter, leave, True
            for hooks in (before, after):
                if len(hooks) > 1:
                    hooks.move_to_end(number, last=False)  # type: ignore[attr-defined]
        yield
    finally:
        for module in modules:
            module._forward_pre_hooks.pop(number, None)
            module._forward_hooks.pop(number, None)
            module._forward_hooks_always_called.pop(number, None)


def _reason_of(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    if isinstance(error, NotImplementedError):  # what torch raises where a meta tensor would need data
        first = lines[0].split(". ")[0][:120]
        return f"it needs the values of a tensor, which are unknown without running it ({first})."
    if isinstance(error, IndexError) and _raised_in(error) == "cache_utils.py":
        return (
            "its key-value cache has fewer layers than its decoder. transformers makes one for each of the config's "
            "num_hidden_layers, which counts the encoder's here: set num_hidden_layers to the number of decoder layers."
        )
    if "expected device" in str(error) and "meta" in str(error):
        return MIXED
    return in_one_line(error)


def _raised_in(error: Exception) -> str:
    """The name of the file that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    return Path(frames[-1].filename).name if frames else ""
