"""One layer's weights for all layers."""

from __future__ import annotations

from typing import Any

from irene.errors import BadInput
from irene.variants.registry import register_variant


@register_variant("shared", "Lan et al., ALBERT, arXiv 1909.11942 (cross-layer parameter sharing)", of_modules=True)
def shared(module: Any) -> Any:
    """Every layer of a stack is its first one: the same work, the weights of one layer."""
    import torch

    stacks = [part for part in module.modules() if isinstance(part, torch.nn.ModuleList) and _is_stack(part)]
    if not stacks:
        raise BadInput(f"+shared: {type(module).__name__} has no stack of layers of one class.")
    for stack in stacks:
        for at in range(1, len(stack)):
            stack[at] = stack[0]
    return module


def _is_stack(layers: Any) -> bool:
    """Layers of one class that hold modules themselves: no list of experts of a single product."""
    return len(layers) > 1 and len({type(layer) for layer in layers}) == 1 and any(layers[0].children())
