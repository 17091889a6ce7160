"""Sizes, dtype and layout of what elementwise operators return, in any layout of their operands, without asking torch.

Operands are broadcast; the output is dense, its dimensions in memory in the order in which the first operand has them.
Source of that rule: `reorder_dimensions` in torch `aten/src/ATen/TensorIterator.cpp`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

_FLOATING = {
    f"aten.{name}"
    for name in (
        "div.Tensor", "pow.Tensor_Scalar", "rsqrt.default", "sqrt.default", "exp.default", "log.default", "sin.default",
        "cos.default", "tanh.default", "sigmoid.default", "relu.default", "silu.default", "gelu.default",
    )
}  # fmt: skip
_ANY_NUMBERS = {f"aten.{name}" for name in ("add.Tensor", "sub.Tensor", "mul.Tensor", "neg.default")}
_COMPARING = {f"aten.{name}.{of}" for name in ("ge", "gt", "le", "lt") for of in ("Scalar", "Tensor")}
_CHOOSING = {"aten.where.self", "aten.where.ScalarOther"}
_MASK = {"aten.where.self": 0, "aten.where.ScalarOther": 0, "aten.masked_fill_.Scalar": 1}  # which operand it is
_IN_PLACE = {"aten.div_.Tensor", "aten.masked_fill_.Scalar"}
ELEMENTWISE = _FLOATING | _ANY_NUMBERS | _COMPARING | _CHOOSING | _IN_PLACE
_HARMLESS = {"alpha", "approximate"}  # named arguments that change values alone


def combine(op: str, operands: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
    """What an operator of ELEMENTWISE returns for meta tensors and plain numbers; None where torch must be asked.

    >>> x, y = torch.empty(2, 5, 3, device="meta").transpose(1, 2), torch.empty(5, device="meta")
    >>> combine("aten.mul.Tensor", (x, y), {}).stride()
    (15, 1, 3)
    """
    tensors = [value for value in operands if isinstance(value, torch.Tensor)]
    if not kwargs.keys() <= _HARMLESS or not all(t.is_meta for t in tensors):
        return None
    valued = [t for at, t in enumerate(tensors) if at != _MASK.get(op)]
    dtype = _dtype_of(valued, [value for value in operands if not isinstance(value, torch.Tensor)])
    if dtype is None or (op not in _ANY_NUMBERS | _COMPARING | _CHOOSING and not dtype.is_floating_point):
        return None
    shape = tensors[0].shape
    if any(t.shape != shape for t in tensors):
        shape = torch.broadcast_shapes(*[t.shape for t in tensors])
    if op in _IN_PLACE:
        given = tensors[0]
        return given if given.shape == shape and given.dtype == dtype else None
    return _dense(shape, tensors, torch.bool if op in _COMPARING else dtype)


def _dtype_of(tensors: Sequence[torch.Tensor], numbers: Sequence[Any]) -> torch.dtype | None:
    """The common dtype; a number of Python does not change one of its own kind or of a higher one."""
    dtype = tensors[0].dtype
    if any(t.dtype != dtype for t in tensors):
        if not all(t.is_floating_point() and t.dim() for t in tensors):
            return None
        for tensor in tensors[1:]:
            dtype = torch.promote_types(dtype, tensor.dtype)
    if dtype.is_complex or dtype == torch.bool:
        return None
    may_be = (int, float) if dtype.is_floating_point else (int,)
    return dtype if all(type(number) in may_be for number in numbers) else None


def _dense(shape: Sequence[int], tensors: Sequence[torch.Tensor], dtype: torch.dtype) -> torch.Tensor | None:
    """A new meta tensor of that shape, laid out in memory as its operands are.

    The first operand alone decides where it has the whole shape and no two strides alike. What torch does about
    dimensions of size 1 depends on more, but where a batch of one comes first in memory too.
    """
    if all(is_plain(t) for t in tensors):
        return torch.empty(shape, dtype=dtype, device="meta")
    strides = tensors[0].stride()
    if tensors[0].shape != shape or 0 in shape or 0 in strides or len(set(strides)) < len(strides):
        return None
    if 1 in shape[1:] or (shape[0] == 1 and strides[0] < max(strides)):
        return None
    made, step = [0] * len(shape), 1
    for dim in sorted(range(len(shape)), key=strides.__getitem__):
        made[dim] = step
        step *= shape[dim]
    return torch.empty_strided(shape, made, dtype=dtype, device="meta")


def is_plain(tensor: torch.Tensor) -> bool:
    """Whether a meta tensor has just the strides that a new one of its shape would have."""
    if not tensor.is_meta:
        return False
    expected = 1
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.stride()), strict=True):
        if stride != expected:
            return False
        expected *= size if size else 1
    return True
