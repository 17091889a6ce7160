"""Operators whose output's shape, or whose answer in Python, depends on the values in a tensor.

On meta tensors torch refuses them. Where the values are known (see `known_values`) they are worked out on the CPU and
the output is made on meta, as large as it would really be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from irene.errors import Untraceable
from irene.tracing.known_values import Expression, expression_of, pick_expression, set_expression

READS_VALUE = {"aten.item.default", "aten._local_scalar_dense.default", "aten.is_nonzero.default", "aten.equal.default"}
_COUNTS_VALUES = {
    "aten.nonzero.default", "aten.nonzero_numpy.default", "aten.where.default", "aten._unique2.default",
    "aten.unique_consecutive.default", "aten.unique_dim.default", "aten.bincount.default", "aten.argwhere.default",
    "aten.repeat_interleave.Tensor",
}  # fmt: skip
_MOVES = {"aten.to.device", "aten.to.dtype_layout", "aten.to.other", "aten._to_copy.default", "aten.cpu.default"}


def answer_from_values(op: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Callable[[], Any] | None:
    """How to answer a call with a meta tensor first that only values can answer; None for all other calls.

    The answer raises Untraceable, without the place, where the values depend on weights.
    """
    if op in READS_VALUE or (op in _MOVES and _goes_to_cpu(args, kwargs)):
        return lambda: func(*[_value_of(a, func) for a in args], **kwargs)
    if op in _COUNTS_VALUES:
        return lambda: _count(func, args, kwargs)
    if op == "aten.masked_select.default":
        return lambda: _index(args[0], (args[1],), func)
    if op in ("aten.index.Tensor", "aten._unsafe_index.Tensor") and any(_is_mask(index) for index in args[1]):
        return lambda: _index(args[0], tuple(args[1]), func)
    if op == "aten._pack_padded_sequence.default":  # lengths lie on the CPU, whatever the device of the sequences
        return lambda: func(args[0], _value_of(args[1], func), *args[2:], **kwargs)
    if op == "aten.repeat_interleave.self_Tensor":
        return lambda: _repeat(func, args, kwargs)
    return None


def _goes_to_cpu(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    target = next((a for a in (*args[1:], *kwargs.values()) if isinstance(a, torch.device)), None)
    if target is None and len(args) > 1 and isinstance(args[1], torch.Tensor):
        target = args[1].device
    return target is not None and target.type == "cpu"


def _is_mask(index: Any) -> bool:
    return isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)


def _value_of(argument: Any, func: Any) -> Any:
    if not isinstance(argument, torch.Tensor):
        return argument
    return _expression(argument, func).compute()


def _expression(tensor: torch.Tensor, func: Any) -> Expression:
    expression = expression_of(tensor)
    if expression is None:
        raise Untraceable(
            f"reads the value of a tensor that depends on weights ({func}), which is unknown without them. A model "
            "whose path depends on its data cannot be traced; trace a module of it whose path does not."
        )
    return expression


def _count(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Nonzeros, distinct values, bins: everything about the output follows from the values of the operands."""
    operands = [_expression(a, func) if isinstance(a, torch.Tensor) else a for a in args]
    values = func(*[a.compute() if isinstance(a, Expression) else a for a in operands], **kwargs)
    several = isinstance(values, list | tuple)
    outputs: list[torch.Tensor] = []
    for index, value in enumerate(values if several else [values]):
        output = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
        set_expression(output, Expression(func, tuple(operands), dict(kwargs), index if several else None))
        outputs.append(output)
    return type(values)(outputs) if several else outputs[0]


def _index(source: torch.Tensor, indices: tuple[Any, ...], func: Any) -> torch.Tensor:
    """The entries under a mask: as many as the mask has set, whatever the source holds."""
    numbers: list[Any] = []
    dim = 0
    for index in indices:
        if _is_mask(index):
            covered = tuple(source.shape[dim : dim + index.dim()])
            if func is not torch.ops.aten.masked_select.default and covered != tuple(index.shape):
                raise IndexError(
                    f"The shape of the mask {tuple(index.shape)} does not match {covered}, which it indexes."
                )
            dim += index.dim()
            found = _expression(index, func).compute().nonzero(as_tuple=True)
            numbers += [torch.empty_like(part, device="meta") for part in found]
        else:
            dim += 1
            numbers.append(index)
    output: torch.Tensor = torch.ops.aten.index.Tensor(source, numbers)
    expressions = [expression_of(t) for t in (source, *(i for i in indices if isinstance(i, torch.Tensor)))]
    if None not in expressions and len(expressions) == len(indices) + 1:
        set_expression(output, Expression(_take, tuple(expressions), {}))
    elif expressions[0] is not None:
        set_expression(output, pick_expression(expressions[0], output))
    return output


def _take(source: torch.Tensor, *indices: torch.Tensor) -> torch.Tensor:
    return source[indices]


def _repeat(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    total = kwargs.get("output_size")
    if total is None:
        total = int(_value_of(args[1], func).sum())
    output: torch.Tensor = func(*args, **{**kwargs, "output_size": total})
    expressions = [expression_of(a) if isinstance(a, torch.Tensor) else a for a in args]
    if None not in expressions[:2]:
        set_expression(output, Expression(func, tuple(expressions), dict(kwargs)))
    return output
