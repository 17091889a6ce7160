"""Numbers that Python hands to torch, or reads out of a tensor, below the level that a dispatch mode sees.

`torch.tensor(3.0, device=...)` fills memory without an operator call, and `f"{x}"` reads a number. Where a model's path
follows from such numbers, these few functions are watched, so that the numbers stay known. A function mode belongs to
the thread; it sees every call of torch and every attribute, which takes a fifth of a trace's time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from irene.tracing.known_values import Expression, set_expression

_DATA_AT = {torch.tensor: 0, torch.as_tensor: 0, torch.asarray: 0, torch.Tensor.new_tensor: 1, torch.Tensor.new: 1}


class KnownConstants(TorchFunctionMode):
    """Constants that are made inside have known values, and a number in a text is the number.

    `made` is told of them: some come without any call that a dispatch mode sees.
    """

    def __init__(self, made: Callable[[list[torch.Tensor]], None]) -> None:
        super().__init__()
        self._made = made

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.Tensor.__format__ and args[0].is_meta and args[0].dim() == 0:
            return format(args[0].item(), args[1])
        output = func(*args, **(kwargs or {}))
        at = _DATA_AT.get(func)
        if at is not None and output.is_meta:
            self._made([output])
            are_sizes = func is torch.Tensor.new and not isinstance(args[-1], list | tuple)
            if len(args) > at and not isinstance(args[at], torch.Tensor) and not are_sizes:
                set_expression(output, Expression(torch.tensor, (args[at],), {"dtype": output.dtype, "device": "cpu"}))
        return output
