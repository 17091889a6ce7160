"""Run a real operator under torch's own FLOP counter, and describe the same call as a `Call`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from irene.primitives import Call, TensorSpec


def describe(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return TensorSpec(tuple(value.shape), value.stride(), str(value.dtype).removeprefix("torch."))
    if isinstance(value, list | tuple):
        return tuple(describe(item) for item in value)
    return value


def run_counted(op: str, *args: Any, **kwargs: Any) -> tuple[Call, int]:
    """The call, and the FLOP that FlopCounterMode saw while torch ran it."""
    namespace, name, overload = op.split(".")
    function = getattr(getattr(getattr(torch.ops, namespace), name), overload)
    # The math backend falls apart into products that the counter knows; it does not know the fused CPU kernel.
    with torch.inference_mode(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        output = function(*args, **kwargs)
    outputs = output if isinstance(output, list | tuple) else (output,)
    specs = tuple(describe(t) for t in outputs if isinstance(t, torch.Tensor))
    call = Call(op, tuple(describe(a) for a in args), tuple((k, describe(v)) for k, v in kwargs.items()), specs)
    return call, counter.get_total_flops()


@pytest.fixture
def counted() -> Callable[..., tuple[Call, int]]:
    return run_counted


def contiguous_spec(*shape: int, dtype: str = "bfloat16", weight: bool = False) -> TensorSpec:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return TensorSpec(shape, tuple(reversed(strides)), dtype, weight)


@pytest.fixture
def spec() -> Callable[..., TensorSpec]:
    """A contiguous tensor's spec: spec(8, 128, dtype='float32')."""
    return contiguous_spec


@pytest.fixture
def linear() -> Callable[..., Call]:
    """The call of a linear layer: linear(rows, in_features, out_features)."""

    def build(rows: int, in_features: int, out_features: int, dtype: str = "bfloat16") -> Call:
        x = contiguous_spec(rows, in_features, dtype=dtype)
        weight = contiguous_spec(out_features, in_features, dtype=dtype, weight=True)
        out = contiguous_spec(rows, out_features, dtype=dtype)
        return Call("aten.linear.default", (x, weight), (), (out,))

    return build
