"""Layers that are alike by all that can be seen of them.

Two layers of a list are *twins* if they are of one class all the way down, with parameters of the same shapes and the
same settings, but for the number that says which layer it is.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from irene.tracing.module_index import ModuleIndex

PLAIN = (int, float, bool, str, type(None))
"""What two layers may have each of its own, and be compared by."""
_OWN_STATE = {"_parameters", "_buffers", "_modules", "forward"}
_HOOKS = {name for name, value in vars(torch.nn.Module()).items() if isinstance(value, dict | set)}  # mostly empty


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
        yield f"{path}.{name}", None if tensor is None else sizes_of(tensor)
    for name, value in layer.__dict__.items():
        if name in _OWN_STATE or (name in _HOOKS and not value):
            continue
        if isinstance(value, PLAIN):
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


def sizes_of(tensor: torch.Tensor) -> Any:
    """What two plain activations share that are the same to a layer."""
    return tuple(tensor.shape), tensor.stride(), tensor.dtype
