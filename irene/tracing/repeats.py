"""Layers that repeat: a model of eighty equal layers is traced as fast as one of two.

When a layer is called with what its twin (`irene.tracing.twins`) was called with, in the same forward pass, it is not
run: it is noted that it repeats its twin, and it returns tensors of the same sizes. What such a short trace says is
checked where it is used: against plain ones (`irene.tracing.grid`), or layer against layer (`irene.tracing.expanding`).
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from irene.tracing.encoding import storage_key
from irene.tracing.known_values import expression_of
from irene.tracing.recorder import Recorder, mark_indices
from irene.tracing.storages import count_stored_bytes, tensors_in_caches
from irene.tracing.twins import PLAIN, Twins, sizes_of


@dataclass(slots=True)
class _Past:
    """A call of a layer in this pass, the first of its key: where it and like ones ran, and what it returned.

    `held` and `seen` are what the key tells by identity. Of tensors only whether they are still there is known: held,
    they would seem to stay in memory.
    """

    places: list[tuple[str, int]]
    held: list[Any]
    seen: list[weakref.ref[torch.Tensor]]
    outputs: list[Callable[[list[Any]], Any]]
    form: Any

    @property
    def is_over(self) -> bool:
        """Whether a tensor is gone that the key tells by identity: another may have taken its place."""
        return any(tensor() is None for tensor in self.seen)

    def made_again(self, inputs: list[Any]) -> Any:
        """What the call would return for these inputs."""
        return _put_together(self.form, iter([make(inputs) for make in self.outputs]))


@dataclass(slots=True)
class Repeats:
    """Which module calls of one forward pass repeat which: (path, call index) -> (path, call index).

    The first `run_first` calls of a kind are run; with more than one also the last layer of each group, and `alike`
    lists those that ran though they should do what another did. `ran` has for a call that is repeated all of its kind,
    `cached_bytes` for each that ran by how much a cache among its inputs has grown. `found_bytes` were alive when each
    call of a twin began, and `grown_bytes` more when it returned.
    """

    twins: Twins
    run_first: int = 1
    of: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    alike: list[tuple[tuple[str, int], tuple[str, int]]] = field(default_factory=list)
    ran: dict[tuple[str, int], list[tuple[str, int]]] = field(default_factory=dict)
    cached_bytes: dict[tuple[str, int], int] = field(default_factory=dict)
    found_bytes: dict[tuple[str, int], int] = field(default_factory=dict)
    grown_bytes: dict[tuple[str, int], int] = field(default_factory=dict)
    _past: dict[Any, _Past] = field(default_factory=dict)

    @contextmanager
    def watching(self, recorder: Recorder) -> Iterator[None]:
        """Twins called inside with what one of them was called with before are not run."""
        try:
            for layer in self.twins.layers:
                layer.forward = self._repeating(layer, layer.forward, recorder)
            yield
        finally:
            for layer in self.twins.layers:
                layer.__dict__.pop("forward", None)

    def begin_pass(self, *_: Any) -> None:
        """What was called before says nothing of what is called from now on: a cache has grown, say."""
        self._past.clear()

    def _count_cached(self, inputs: list[Any]) -> int:
        """Bytes in the caches among some inputs; nobody asks for them where only the first calls of a kind are run."""
        return count_stored_bytes(tensors_in_caches(inputs)) if self.run_first > 1 else 0

    def _always_runs(self, layer: torch.nn.Module) -> bool:
        return self.run_first > 1 and layer is self.twins.last_of[self.twins.group[id(layer)]]

    def _repeating(self, layer: torch.nn.Module, forward: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
        group = self.twins.group[id(layer)]

        def call(*args: Any, **kwargs: Any) -> Any:
            inputs: list[Any] = []
            key = (group, _take_apart((args, kwargs), inputs), _key_of(inputs, recorder))
            frame = recorder.frames[-1]
            place = (frame.path, frame.call_index)
            self.found_bytes[place] = recorder.storages.alive_bytes
            past = self._past.get(key)
            if past is not None and (past.is_over or frame.children):
                past = None
            if past is not None:
                if len(past.places) >= self.run_first and not self._always_runs(layer):
                    self.of[place] = source = past.places[self.run_first - 1]
                    self.ran[source] = past.places
                    output = recorder.without_recording(lambda: past.made_again(inputs))
                    recorder.made_again(output)
                    self.grown_bytes[place] = recorder.storages.alive_bytes - self.found_bytes[place]
                    return output
                self.alike.append((place, past.places[0]))
                past.places.append(place)
            before = self._count_cached(inputs)
            output = forward(*args, **kwargs)
            self.cached_bytes[place] = self._count_cached(inputs) - before
            self.grown_bytes[place] = recorder.storages.alive_bytes - self.found_bytes[place]
            if past is not None:
                return output
            outputs: list[Any] = []
            form = _take_apart(output, outputs)
            if all(_can_be_made_again(value, inputs) for value in outputs):
                known = [value for value in inputs if not _is_told_by_sizes(value, recorder)]
                held = [value for value in known if not isinstance(value, torch.Tensor)]
                seen = [weakref.ref(value) for value in known if isinstance(value, torch.Tensor)]
                self._past[key] = _Past([place], held, seen, [_recipe_of(value, inputs) for value in outputs], form)
            return output

        return call


def _take_apart(value: Any, parts: list[Any]) -> Any:
    """Add what is in tuples, lists and dicts to `parts`; the form that is left, from which they are put together."""
    if type(value) is tuple or type(value) is list:
        return (type(value), tuple([_take_apart(item, parts) for item in value]))
    if type(value) is dict:
        return (dict, tuple([(name, _take_apart(item, parts)) for name, item in value.items()]))
    parts.append(value)
    return None


def _put_together(form: Any, parts: Iterator[Any]) -> Any:
    if form is None:
        return next(parts)
    kind, items = form
    if kind is dict:
        return {name: _put_together(item, parts) for name, item in items}
    return kind([_put_together(item, parts) for item in items])


def _key_of(inputs: list[Any], recorder: Recorder) -> Any:
    """What the inputs of two calls must share: sizes of plain activations, and identity of whatever may mean more."""
    storages: dict[int, int] = {}
    key: list[Any] = []
    for value in inputs:
        if not isinstance(value, torch.Tensor):
            key.append((type(value), value) if isinstance(value, PLAIN) else id(value))
        elif _is_told_by_sizes(value, recorder):
            key.append((sizes_of(value), storages.setdefault(storage_key(value), len(storages))))
        else:
            key.append(("itself", id(value)))
    return tuple(key)


def _is_told_by_sizes(value: Any, recorder: Recorder) -> bool:
    """Whether a value is a plain activation."""
    if not isinstance(value, torch.Tensor):
        return False
    return storage_key(value) not in recorder.weights and value.is_meta and expression_of(value) is None


def _can_be_made_again(value: Any, inputs: list[Any]) -> bool:
    if isinstance(value, PLAIN) or any(value is given for given in inputs):
        return True
    return isinstance(value, torch.Tensor) and value.is_meta and expression_of(value) is None


def _recipe_of(value: Any, inputs: list[Any]) -> Callable[[list[Any]], Any]:
    """How an output is made as the layer itself would: its own input handed on, or a new tensor of the same sizes.

    It lies in as much memory: an output may be a part of something larger.
    """
    for at, given in enumerate(inputs):
        if value is given:
            return lambda now: now[at]
    if not isinstance(value, torch.Tensor):
        return lambda now: value
    shape, stride, dtype, start = tuple(value.shape), value.stride(), value.dtype, value.storage_offset()
    stored = value.untyped_storage().nbytes() // value.itemsize

    def make(_: list[Any]) -> torch.Tensor:
        made = torch.empty(stored, dtype=dtype, device="meta").as_strided(shape, stride, start)
        mark_indices(made)
        return made

    return make
