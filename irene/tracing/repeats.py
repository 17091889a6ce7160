"""Layers that repeat: a model of eighty equal layers is traced as fast as one of two.

Two layers of a list are *twins* if they are of one class all the way down, with parameters of the same shapes and the
same settings, but for the number that says which layer it is. When a layer is called with what its twin was called
with, in the same forward pass, it is not run: it is noted that it repeats its twin, and it returns tensors of the same
sizes. What such a short trace says is checked against plain ones where it is used (`irene.tracing.grid`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from irene.tracing.encoding import storage_key
from irene.tracing.known_values import expression_of
from irene.tracing.module_index import ModuleIndex
from irene.tracing.recorder import Recorder, mark_indices

_PLAIN = (int, float, bool, str, type(None))
_OWN_STATE = {"_parameters", "_buffers", "_modules", "forward"}


@dataclass(frozen=True)
class Twins:
    """The layers of a module that have a twin: for each, by identity, the number of its group."""

    layers: tuple[torch.nn.Module, ...]
    group: dict[int, int]
    index: ModuleIndex

    @cached_property
    def last_of(self) -> dict[int, torch.nn.Module]:
        """The last layer of each group."""
        return {self.group[id(layer)]: layer for layer in self.layers}


@dataclass(slots=True)
class _Past:
    """A call of a layer in this pass, the first of its key: where it and like ones ran, and what it returned.

    `held` are what the key tells by identity. No other tensor is: it would seem to stay in memory.
    """

    places: list[tuple[str, int]]
    held: list[Any]
    outputs: list[Callable[[list[Any]], Any]]
    form: Any

    def made_again(self, inputs: list[Any]) -> Any:
        """What the call would return for these inputs."""
        return _put_together(self.form, iter([make(inputs) for make in self.outputs]))


@dataclass(slots=True)
class Repeats:
    """Which module calls of one forward pass repeat which: (path, call index) -> (path, call index).

    The first `run_first` calls of a kind are run; with more than one also the last layer of each group, and `alike`
    lists those that ran though they should do what another did. `ran` has for a call that is repeated all of its kind.
    """

    twins: Twins
    run_first: int = 1
    of: dict[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    alike: list[tuple[tuple[str, int], tuple[str, int]]] = field(default_factory=list)
    ran: dict[tuple[str, int], list[tuple[str, int]]] = field(default_factory=dict)
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

    def _always_runs(self, layer: torch.nn.Module) -> bool:
        return self.run_first > 1 and layer is self.twins.last_of[self.twins.group[id(layer)]]

    def _repeating(self, layer: torch.nn.Module, forward: Callable[..., Any], recorder: Recorder) -> Callable[..., Any]:
        group = self.twins.group[id(layer)]

        def call(*args: Any, **kwargs: Any) -> Any:
            inputs: list[Any] = []
            key = (group, _take_apart((args, kwargs), inputs), _key_of(inputs, recorder))
            frame = recorder.frames[-1]
            place = (frame.path, frame.call_index)
            past = self._past.get(key)
            if past is not None and not frame.children:
                if len(past.places) >= self.run_first and not self._always_runs(layer):
                    self.of[place] = source = past.places[self.run_first - 1]
                    self.ran[source] = past.places
                    output = recorder.without_recording(lambda: past.made_again(inputs))
                    recorder.made_again(output)
                    return output
                self.alike.append((place, past.places[0]))
                past.places.append(place)
                return forward(*args, **kwargs)
            output = forward(*args, **kwargs)
            outputs: list[Any] = []
            form = _take_apart(output, outputs)
            if all(_can_be_made_again(value, inputs) for value in outputs):
                held = [value for value in inputs if not _is_told_by_sizes(value, recorder)]
                self._past[key] = _Past([place], held, [_recipe_of(value, inputs) for value in outputs], form)
            return output

        return call


def find_twins(module: torch.nn.Module) -> Twins:
    """The twins among the members of every list of layers below a module; a list inside a twin is not looked into."""
    layers: list[torch.nn.Module] = []
    group: dict[int, int] = {}
    inside: set[int] = set()
    for part in module.modules():
        if id(part) in inside or not isinstance(part, torch.nn.ModuleList | torch.nn.Sequential):
            continue
        for members in _groups_of(list(part)):
            number = len(layers)
            for layer in members:
                if id(layer) not in group and "forward" not in layer.__dict__:
                    layers.append(layer)
                    group[id(layer)] = number
                    inside.update(id(below) for below in layer.modules())
    return Twins(tuple(layers), group, ModuleIndex(module))


def _groups_of(members: list[torch.nn.Module]) -> list[list[torch.nn.Module]]:
    """The members of one list, twins together, each group of two or more."""
    settings = [dict(_settings_of(member, "")) for member in members]
    by_names: dict[Any, list[int]] = {}
    for place, own in enumerate(settings):
        by_names.setdefault(tuple(own), []).append(place)
    groups: dict[Any, list[torch.nn.Module]] = {}
    for names, places in by_names.items():
        # The number of the layer: a setting that is its place in the list for every one of them.
        numbering = {name for name in names if all(settings[i][name] == ("int", i) for i in places)}
        for place in places:
            key = tuple((name, value) for name, value in settings[place].items() if name not in numbering)
            groups.setdefault(key, []).append(members[place])
    return [layers for layers in groups.values() if len(layers) > 1]


def _settings_of(layer: torch.nn.Module, path: str) -> Iterator[tuple[str, Any]]:
    """Everything that decides what a layer does, by name: classes, sizes of tensors, plain settings, shared objects."""
    yield path, type(layer)
    for name, tensor in (*layer._parameters.items(), *layer._buffers.items()):
        yield f"{path}.{name}", None if tensor is None else _sizes(tensor)
    for name, value in layer.__dict__.items():
        if name in _OWN_STATE:
            continue
        if isinstance(value, _PLAIN):
            yield f"{path}.{name}", (type(value).__name__, value)
        elif isinstance(value, list | tuple | dict | set):
            yield f"{path}.{name}", repr(value)
        else:
            yield f"{path}.{name}", _identity(value)
    for name, part in layer._modules.items():
        if part is not None:
            yield from _settings_of(part, f"{path}.{name}")


def _identity(value: Any) -> Any:
    """A config or a function: the very same one. Partial functions and methods are made anew for each layer."""
    if isinstance(value, functools.partial):
        return _identity(value.func), repr(value.args), repr(value.keywords)
    return id(getattr(value, "__func__", value))


def _sizes(tensor: torch.Tensor) -> Any:
    return tuple(tensor.shape), tensor.stride(), tensor.dtype


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
            key.append((type(value), value) if isinstance(value, _PLAIN) else id(value))
        elif _is_told_by_sizes(value, recorder):
            key.append((_sizes(value), storages.setdefault(storage_key(value), len(storages))))
        else:
            key.append(("itself", id(value)))
    return tuple(key)


def _is_told_by_sizes(value: Any, recorder: Recorder) -> bool:
    """Whether a value is a plain activation."""
    if not isinstance(value, torch.Tensor):
        return False
    return storage_key(value) not in recorder.weights and value.is_meta and expression_of(value) is None


def _can_be_made_again(value: Any, inputs: list[Any]) -> bool:
    if isinstance(value, _PLAIN) or any(value is given for given in inputs):
        return True
    return isinstance(value, torch.Tensor) and value.is_meta and expression_of(value) is None


def _recipe_of(value: Any, inputs: list[Any]) -> Callable[[list[Any]], Any]:
    """How an output is made as the layer itself would: its own input handed on, or a new tensor of the same sizes."""
    for at, given in enumerate(inputs):
        if value is given:
            return lambda now: now[at]
    if not isinstance(value, torch.Tensor):
        return lambda now: value
    shape, stride, dtype = tuple(value.shape), value.stride(), value.dtype

    def make(_: list[Any]) -> torch.Tensor:
        made = torch.empty_strided(shape, stride, dtype=dtype, device="meta")
        mark_indices(made)
        return made

    return make
