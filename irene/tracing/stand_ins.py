"""A stand-in for a module and for what it is called with: the same structure, with meta tensors in place of data.

The stand-in is traced, never the caller's own module: masks that it makes late, caches that it fills and counters that
it raises are those of the stand-in, and another thread may call the module meanwhile. Modules, containers, caches and
other plain objects are copied, whatever they hold, and functions with what they close over. All else is shared:
classes, locks, tokenizers, arrays, objects of the standard library and torch's own machinery.
"""

from __future__ import annotations

import copy
import enum
import sys
import types
import weakref
from collections import OrderedDict, UserDict, UserList, deque
from functools import partial
from typing import Any

import torch
from torch.nn.utils.rnn import PackedSequence

from irene.tracing.known_values import expression_of, set_expression, set_value

_CONTAINERS = (dict, list, set, deque)
_ATOMS = (str, bytes, int, float, complex, type(None), type, enum.Enum, types.ModuleType, types.BuiltinFunctionType)
_KEYS = (tuple, torch.Tensor, torch.nn.Module)
_TORCH_ROOMS = ("torch.nn.", "torch.distributions.", "torch.utils.data.")  # of torch's objects, these are plain ones


class StandIns:
    """Makes stand-ins; what is met twice has one.

    >>> StandIns().of({"x": [torch.ones(2)]})["x"][0].device
    device(type='meta')
    """

    def __init__(self) -> None:
        self._made: dict[int, Any] = {}
        self._originals: list[Any] = []  # held: identities are given out again

    @property
    def tensors(self) -> list[torch.Tensor]:
        """The tensors met so far, in order."""
        return [value for value in self._originals if isinstance(value, torch.Tensor)]

    def of(self, value: Any) -> Any:
        """The stand-in for a value: itself where nothing below it can hold a tensor or change."""
        if isinstance(value, _ATOMS):
            return value
        key = id(value)
        if key not in self._made:
            self._originals.append(value)
            self._made[key] = value  # what cannot be copied is shared; those that can note themselves before they go on
            self._made[key] = self._copy(value)
        return self._made[key]

    def _copy(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return _tensor(value)
        if isinstance(value, torch.jit.ScriptModule):
            return self._copy_scripted(value)
        if isinstance(value, torch.nn.Module):
            return self._fill(object.__new__(type(value)), value)
        if isinstance(value, _CONTAINERS):
            return self._copy_container(value)
        if isinstance(value, tuple):
            return self._copy_tuple(value)
        if isinstance(value, types.MethodType):
            return types.MethodType(self.of(value.__func__), self.of(value.__self__))
        if isinstance(value, types.FunctionType):
            return self._copy_function(value)
        if isinstance(value, partial):
            return partial(self.of(value.func), *map(self.of, value.args), **self.of(value.keywords))
        if isinstance(value, weakref.ref):
            target = value()
            return value if target is None else weakref.ref(self.of(target))
        return self._copy_object(value) if _is_plain_object(value) else value

    def _fill(self, made: Any, value: Any) -> Any:
        """Give a new object what the old one holds."""
        self._made[id(value)] = made
        own = getattr(value, "__dict__", {})
        if own is value:  # a dict whose items are its attributes too
            made.__dict__ = made
        else:
            for name, held in list(own.items()):
                made.__dict__[name] = self.of(held)
        for name in _slots_of(type(value)):
            if hasattr(value, name):
                object.__setattr__(made, name, self.of(getattr(value, name)))
        return made

    def _copy_object(self, value: Any) -> Any:
        try:
            made = object.__new__(type(value))
        except TypeError:  # laid out in C
            return value
        return self._fill(made, value)

    def _copy_container(self, value: Any) -> Any:
        kind: Any = type(value)
        made = self._made[id(value)] = kind.__new__(kind)
        if isinstance(value, dict):
            if hasattr(value, "default_factory"):
                made.default_factory = self.of(value.default_factory)
            base = OrderedDict if isinstance(value, OrderedDict) else dict  # past methods of its own
            for key, held in list(dict.items(value)):
                base.__setitem__(made, self.of(key) if isinstance(key, _KEYS) else key, self.of(held))
        elif isinstance(value, set):
            set.update(made, map(self.of, value))
        else:
            (list if isinstance(value, list) else deque).extend(made, map(self.of, list(value)))
        return self._fill(made, value) if hasattr(value, "__dict__") else made

    def _copy_tuple(self, value: Any) -> Any:
        held = [self.of(item) for item in value]
        if isinstance(value, PackedSequence):
            held[1] = value.batch_sizes  # on the CPU whatever the device of the data
        if all(now is before for now, before in zip(held, value, strict=True)):
            return value
        made = tuple.__new__(type(value), held)
        if getattr(value, "__dict__", None):
            made.__dict__.update({name: self.of(item) for name, item in vars(value).items()})
        return made

    def _copy_function(self, value: types.FunctionType) -> Any:
        """With what it closes over, where that has a stand-in: a function that calls a module calls the stand-in.

        What `torch.compile` returned is taken for the function that it was given: nothing is compiled in a trace.
        """
        if (compiled := vars(value).get("_torchdynamo_orig_callable")) is not None:
            return self.of(compiled)
        cells = [_content(cell) for cell in value.__closure__ or ()]
        held = [self.of(content) for content in cells]
        own = {name: self.of(item) for name, item in vars(value).items()}
        changed = [*zip(held, cells, strict=True), *((own[name], vars(value)[name]) for name in own)]
        if all(now is before for now, before in changed):
            return value
        closure = tuple(
            cell if now is before else types.CellType(now)
            for cell, now, before in zip(value.__closure__ or (), held, cells, strict=True)
        )
        made = types.FunctionType(value.__code__, value.__globals__, value.__name__, value.__defaults__, closure)
        made.__kwdefaults__, made.__qualname__ = value.__kwdefaults__, value.__qualname__
        made.__dict__.update(own)
        return made

    def _copy_scripted(self, module: torch.jit.ScriptModule) -> Any:
        """Torch alone can copy what it compiled; the data of the copy are let go at once."""
        made = copy.deepcopy(module)
        for part in made.modules():
            for name, tensor in [*part._parameters.items(), *part._buffers.items()]:
                if tensor is not None:
                    setattr(part, name, self.of(tensor))
        return made


def _tensor(tensor: torch.Tensor) -> torch.Tensor:
    """On meta. A parameter stays one, and holds no known value; what any other tensor holds is known."""
    try:
        stand_in = tensor.detach().to("meta")
    except (NotImplementedError, RuntimeError):  # a layout that meta tensors lack
        return tensor
    if isinstance(tensor, torch.nn.Parameter):
        return torch.nn.Parameter(stand_in, requires_grad=tensor.requires_grad)
    if tensor.is_meta:
        if (known := expression_of(tensor)) is not None:
            set_expression(stand_in, known)
        return stand_in
    set_value(stand_in, tensor.detach())
    return stand_in


def _is_plain_object(value: Any) -> bool:
    """An instance of a class written in Python, by the user or a library of models."""
    kind = type(value)
    room = kind.__module__.split(".")[0]
    if room in sys.stdlib_module_names and kind not in (types.SimpleNamespace, UserDict, UserList):
        return False
    if room == "torch" and not kind.__module__.startswith(_TORCH_ROOMS):
        return False
    return hasattr(value, "__dict__") or bool(_slots_of(kind))


def _slots_of(kind: type) -> list[str]:
    found: list[str] = []
    for part in kind.__mro__:
        slots = part.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            is_private = name.startswith("__") and not name.endswith("__")
            found.append(f"_{part.__name__.lstrip('_')}{name}" if is_private else name)
    return [name for name in found if name not in ("__dict__", "__weakref__")]


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
