"""What a recorder looks up in a module: names of its parts, which memory is a weight, how many parameters there are."""

from __future__ import annotations

from collections.abc import Iterable

import torch

from irene.tracing.encoding import storage_key


def list_modules(root: torch.nn.Module) -> list[tuple[str, torch.nn.Module]]:
    """The distinct modules at or below a module with their names, as `named_modules` says them, in a fifth of its time.

    >>> [name for name, _ in list_modules(torch.nn.Sequential(torch.nn.ReLU(), torch.nn.Sequential(torch.nn.ReLU())))]
    ['', '0', '1', '1.0']
    """
    found: list[tuple[str, torch.nn.Module]] = []
    seen: set[int] = set()
    stack = [("", root)]
    while stack:
        name, part = stack.pop()
        if id(part) not in seen:
            seen.add(id(part))
            found.append((name, part))
            below = f"{name}." if name else ""
            stack += [(below + own, child) for own, child in reversed(part._modules.items()) if child is not None]
    return found


def list_tensors(modules: Iterable[torch.nn.Module]) -> list[torch.Tensor]:
    """The parameters of some modules, then their buffers; one that two of them share stands there twice."""
    modules = list(modules)
    parameters = [value for part in modules for value in part._parameters.values() if value is not None]
    return parameters + [value for part in modules for value in part._buffers.values() if value is not None]


class ModuleIndex:
    """What a recorder looks up in a module: the same in every pass."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.modules: list[torch.nn.Module] = []
        self.names: dict[int, str] = {}
        for name, part in list_modules(module):
            self.modules.append(part)
            self.names[id(part)] = name
        self.weights: dict[int, int] = {}
        self.has_device = True  # whether the model lies on another device than the host
        # Held: a model that casts a weight as it runs frees the old one, whose key an activation would take over.
        self._storages: list[torch.UntypedStorage] = []
        for tensor in list_tensors(self.modules):
            self.weights.setdefault(storage_key(tensor), len(self.weights))
            self._storages.append(tensor.untyped_storage())
            self.has_device &= not tensor.is_cpu
        self._parameters: dict[int, dict[int, int]] = {}

    def holds(self, tensor: torch.Tensor) -> bool:
        """Whether a module has the tensor as a plain attribute."""
        return any(value is tensor for part in self.modules for value in vars(part).values())

    def count_parameters(self, module: torch.nn.Module) -> int:
        """Elements of the distinct parameters at or below a module."""
        return sum(self._distinct_parameters(module).values())

    def _distinct_parameters(self, module: torch.nn.Module) -> dict[int, int]:
        """Elements of each distinct parameter at or below a module."""
        sizes = self._parameters.get(id(module))
        if sizes is None:
            sizes = {id(p): p.numel() for p in module._parameters.values() if p is not None}
            for child in module._modules.values():
                if child is not None:
                    sizes.update(self._distinct_parameters(child))
            self._parameters[id(module)] = sizes
        return sizes
