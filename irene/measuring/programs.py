"""A few lines of torch as the calls that they make: recorded on meta, with the signatures that models would have."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from irene.primitives.call import Call
from irene.primitives.kinds import launches_kernel
from irene.tracing.recording import record_call


class _Program(torch.nn.Module):
    """A function of inputs and weights: what is registered counts as a weight."""

    def __init__(self, function: Callable[..., object], weights: Sequence[torch.Tensor]) -> None:
        super().__init__()
        self._function, self._names = function, [f"weight{number}" for number in range(len(weights))]
        for name, weight in zip(self._names, weights, strict=True):
            self.register_buffer(name, weight)

    def forward(self, *inputs: Any) -> object:
        return self._function(*inputs, *(getattr(self, name) for name in self._names))


def record_program(
    function: Callable[..., object], inputs: Sequence[Any], weights: Sequence[torch.Tensor] = ()
) -> list[Call]:
    """The distinct calls of `function(*inputs, *weights)` that launch kernels; tensors are on meta.

    Raises Untraceable where torch refuses the program.

    >>> x = torch.empty(4, 8, device="meta", dtype=torch.bfloat16)
    >>> [call.op for call in record_program(lambda x, w: (x @ w.t()).relu(), [x], [x])]
    ['aten.matmul.default', 'aten.relu.default']
    """
    return record_module(_Program(function, weights), inputs)


def record_module(module: torch.nn.Module, inputs: Sequence[Any]) -> list[Call]:
    """The distinct calls of a module on meta that launch kernels, in evaluation mode."""
    root = record_call(module.eval(), tuple(inputs), {})
    calls = dict.fromkeys(leaf.call for leaf in root.leaves if leaf.call is not None)
    return [call for call in calls if launches_kernel(call)]


def on_meta(shape: Sequence[int], dtype: str) -> torch.Tensor:
    """A dense tensor without memory."""
    return torch.empty(tuple(shape), dtype=getattr(torch, dtype), device="meta")
