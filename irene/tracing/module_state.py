"""What a module holds, taken down and put back: one model can then be traced many times."""

from __future__ import annotations

from typing import Any

import torch

from irene.tracing.module_index import list_modules


class ModuleState:
    """What a module and its config hold, which some models change as they run.

    Rotary frequencies grow with the length; attention is of another class for short inputs.
    """

    def __init__(self, module: torch.nn.Module, config: Any) -> None:
        modules = [part for _, part in list_modules(module)]
        owned = [own for part in modules for own in (vars(part), part._parameters, part._buffers, part._modules)]
        self._saved: list[tuple[dict[str, Any], dict[str, Any]]] = [
            (own, dict(own)) for own in (*owned, config.__dict__)
        ]

    def restore(self) -> None:
        for current, saved in self._saved:
            if current or saved:  # most hold no buffers, and many no modules
                current.clear()
                current.update(saved)
