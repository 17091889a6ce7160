"""What a recorder looks up in a module: names of its parts, which memory is a weight, how many parameters there are."""

from __future__ import annotations

import torch

from irene.tracing.encoding import storage_key


class ModuleIndex:
    """What a recorder looks up in a module: the same in every pass."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.modules: list[torch.nn.Module] = []
        self.names: dict[int, str] = {}
        for name, part in module.named_modules():
            self.modules.append(part)
            self.names[id(part)] = name
        self.weights: dict[int, int] = {}
        self.has_device = True  # whether the model lies on another device than the host
        # Held: a model that casts a weight as it runs frees the old one, whose key an activation would take over.
        self._storages: list[torch.UntypedStorage] = []
        for tensor in (*module.parameters(), *module.buffers()):
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
