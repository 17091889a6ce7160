"""Variants by name: each a function from a config (or a module) and a few parameters to a changed copy.

A change of a module travels with its config, as most models are built from one later: `apply_module_changes` is what
the builder of modules asks.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from irene.errors import BadInput
from irene.quoting import quote

_ATTRIBUTE = "irene_module_changes"
_TYPES: Mapping[str, type] = MappingProxyType({"int": int, "float": float, "str": str})
VARIANTS: dict[str, Variant] = {}


@dataclass(frozen=True, slots=True)
class Variant:
    """A kind of change; called with its parameters it is a `Change`. `source` is the paper or the setting behind it."""

    name: str
    function: Callable[..., Any]
    source: str
    is_of_modules: bool

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """What it takes besides the config, in order."""
        return dict(list(inspect.signature(self.function).parameters.items())[1:])

    @property
    def summary(self) -> str:
        """Its first line of documentation."""
        return (self.function.__doc__ or "").strip().partition("\n")[0]

    @property
    def usage(self) -> str:
        """As the command line takes it: `+layers:count`, `+mux:n=2`."""
        listed = [p.name if p.default is p.empty else f"{p.name}={p.default}" for p in self.parameters.values()]
        return f"+{self.name}:{','.join(listed)}" if listed else f"+{self.name}"

    def __call__(self, *values: Any, **named: Any) -> Change:
        """The change with these parameters. Raises BadInput for others than it has, or of another type."""
        try:
            bound = inspect.signature(self.function).bind(None, *values, **named)
        except TypeError as error:
            raise BadInput(f"The variant {self.usage} cannot be used so: {error}.") from None
        given = dict(list(bound.arguments.items())[1:])
        if any(p.kind is p.VAR_KEYWORD for p in self.parameters.values()):
            given = {**given.pop(next(reversed(self.parameters)), {}), **given}
        return Change(self, tuple((name, self._read(name, value)) for name, value in given.items()))

    def _read(self, name: str, value: Any) -> Any:
        parameter = self.parameters.get(name)
        wanted = _TYPES.get(str(parameter.annotation)) if parameter else None
        if wanted is None or type(value) is wanted:
            return value
        try:
            return wanted(value)
        except (TypeError, ValueError):
            raise BadInput(f"+{self.name}: {name} must be of type {wanted.__name__}, got {quote(value)}.") from None


@dataclass(frozen=True, slots=True)
class Change:
    """A variant with its parameters: called with a config it gives a changed copy."""

    variant: Variant
    values: tuple[tuple[str, Any], ...]

    def __call__(self, target: Any) -> Any:
        """A changed copy of a config; of a module, the module itself, changed. Raises BadInput where it cannot be."""
        is_config = hasattr(target, "model_type")
        if self.variant.is_of_modules and is_config:
            changed = copy.deepcopy(target)
            setattr(changed, _ATTRIBUTE, (*getattr(target, _ATTRIBUTE, ()), self))
            return changed
        if not self.variant.is_of_modules and not is_config:
            raise BadInput(f"{self} changes a transformers config, not a {type(target).__name__}.")
        return self.variant.function(copy.deepcopy(target) if is_config else target, **dict(self.values))

    def __str__(self) -> str:
        listed = ",".join(f"{name}={value}" for name, value in self.values)
        return f"+{self.variant.name}:{listed}" if listed else f"+{self.variant.name}"


def register_variant(name: str, source: str, *, of_modules: bool = False) -> Callable[[Callable[..., Any]], Variant]:
    """Register a function as the variant `name`. Its first parameter is the config's copy, which it may write into.

    With `of_modules` it is the module that was built. Raises ValueError if the name is taken.
    """

    def register(function: Callable[..., Any]) -> Variant:
        if name in VARIANTS:
            raise ValueError(f"the variant {name!r} is already registered, by {VARIANTS[name].function.__module__}")
        VARIANTS[name] = Variant(name, function, source, of_modules)
        return VARIANTS[name]

    return register


def apply_module_changes(module: Any, config: Any) -> Any:
    """The module with the changes that travelled with its config, in order."""
    for change in module_changes(config):
        module = change.variant.function(module, **dict(change.values))
    return module


def module_changes(config: Any) -> tuple[Change, ...]:
    """The changes of a module that travel with its config, in order."""
    changes: tuple[Change, ...] = getattr(config, _ATTRIBUTE, ())
    return changes
