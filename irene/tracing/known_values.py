"""Values that a model computes from shapes alone, known even where tensors carry no data.

Many models ask a question of a mask ("is every entry one?") or of positions ("where does a new sequence start?") and
branch on the answer. On meta tensors nobody can answer, yet the answer follows from the inputs that we chose. So each
tensor that was made from factories and from our own token ids remembers *how* it was made (an `Expression`), and only
when `.item()` is called is that computed, on the CPU. Tensors that depend on weights have no expression: their values
are really unknown, and asking for one is an error.

Two assumptions are made, and what follows from them is marked as assumed. A router's choice of experts, the indices of
`topk` or `argmax` over scores that depend on weights, is taken to be balanced, each expert chosen equally often. And
what depends on weights is taken to be finite, since some models ask it of float16 hidden states.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils._pytree import tree_map

from irene.errors import Untraceable

BALANCED = "Its path depends on which experts the router chooses: each is taken to be chosen equally often."
FINITE = "It asks whether values are infinite or not a number: none is taken to be."
_FACTORIES = {"arange", "ones", "zeros", "full", "scalar_tensor", "eye", "linspace", "tril_indices", "triu_indices"}
# Their values do not depend on the values of their tensor operand.
_SHAPE_ONLY = {"ones_like": 1, "zeros_like": 0, "new_zeros": 0, "new_ones": 1}
# They pick entries: from a tensor whose entries are all equal, any index picks the same.
_PICKING = {"index", "index_select", "gather", "take_along_dim"}
_CHOOSING = {"topk": 1, "argmax": 0, "max": 1}  # which output holds the indices
_FINITE = {"isinf": False, "isposinf": False, "isneginf": False, "isnan": False, "isfinite": True}
_MOST = 2**28  # elements of a tensor that is worked out: 2 GiB of whole numbers
_EXPRESSION = "_irene_expression"  # on a tensor: its expression, and the writes to its memory until then
_TRAITS: dict[int, tuple[str, bool]] = {}  # of operators, which live as long as torch
_WRITES = "_irene_writes"  # on a storage: how often something was written into it


@dataclass(slots=True)
class Expression:
    """How a tensor was made: an operator over constants and other expressions."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    index: int | None = None
    writes: bool = False
    assumed: frozenset[str] = frozenset()  # notes: what has to hold for the value to be right
    size: int = 0  # elements
    _value: Any = field(default=None)
    _known: bool = False

    def compute(self) -> Any:
        if not self._known:
            if self.size > _MOST and self.function is not torch.Tensor.cpu:
                raise Untraceable(
                    f"The model asks for values that follow from {self.size:,} numbers, too many to work out; at most "
                    f"{_MOST:,}. Give fewer tokens."
                )
            args, kwargs = tree_map(_compute, (self.args, self.kwargs))
            if self.writes:  # into a copy: other expressions remember the value before
                args, kwargs = tree_map(lambda v: v.clone() if isinstance(v, torch.Tensor) else v, (args, kwargs))
            value = self.function(*args, **kwargs)
            self._value = value if self.index is None else value[self.index]
            self._known = True
        return self._value


def _compute(value: Any) -> Any:
    if isinstance(value, Expression):
        return value.compute()
    return torch.device("cpu") if isinstance(value, torch.device) else value


def set_value(tensor: torch.Tensor, value: torch.Tensor) -> None:
    """Say what a meta tensor holds (the token ids that we chose, or were given)."""
    set_expression(tensor, Expression(torch.Tensor.cpu, (value,), {}))


def set_uniform(tensor: torch.Tensor, value: int) -> None:
    """Say that a meta tensor holds one value everywhere; nothing is allocated unless somebody asks."""
    set_expression(tensor, Expression(torch.full, (tuple(tensor.shape), value), {"dtype": tensor.dtype}))


def expression_of(tensor: torch.Tensor) -> Expression | None:
    """How the tensor was made; None if that involved weights, or if its memory was written to through another view.

    A tensor with data is its own answer.
    """
    if not tensor.is_meta:
        return Expression(torch.Tensor.cpu, (tensor,), {})
    expression, writes = getattr(tensor, _EXPRESSION, (None, 0))
    return expression if writes == _count_writes(tensor) else None


def is_known(tensor: torch.Tensor) -> bool:
    """Whether it was ever said how a tensor without data was made."""
    return hasattr(tensor, _EXPRESSION)


def remember(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], operands: list[torch.Tensor], output: Any
) -> None:
    """After a call: give its outputs an expression, if all its tensor operands have one."""
    name, writes = _traits(function)
    if name in _SHAPE_ONLY and isinstance(output, torch.Tensor):
        expression = Expression(torch.full, (tuple(output.shape), _SHAPE_ONLY[name]), {"dtype": output.dtype})
        set_expression(output, expression)
        return
    if not operands and name not in _FACTORIES:
        return
    known = [expression_of(operand) for operand in operands]
    if name in _CHOOSING and known == [None]:
        _assume_balance(name, operands[0], args, kwargs, output)
        return
    if name in _FINITE and known == [None]:
        answer = (tuple(output.shape), _FINITE[name])
        set_expression(output, Expression(torch.full, answer, {"dtype": torch.bool}, assumed=frozenset([FINITE])))
        return
    made: tuple[Any, Any] | None = None
    if None not in known:  # before a write is noted: what this call is given is still up to date
        made = tree_map(lambda v: expression_of(v) if isinstance(v, torch.Tensor) else v, (args, kwargs))
    elif not writes and name not in _PICKING:
        return
    if writes:
        _note_writes(function, args, kwargs)
    if name in _PICKING and known[0] is not None and None in known[1:]:
        set_expression(output, pick_expression(known[0], output))
    elif made is None:
        return
    else:
        assumed = frozenset[str]().union(*(expression.assumed for expression in known if expression is not None))
        several = not isinstance(output, torch.Tensor)
        for index, tensor in enumerate(_tensors(output)):
            place = index if several else None
            set_expression(tensor, Expression(function, made[0], made[1], place, writes, assumed))


def _traits(function: Any) -> tuple[str, bool]:
    """An operator's name without overload, and whether it writes into an operand; asked at every call."""
    traits = _TRAITS.get(id(function))
    if traits is None:
        traits = function.__name__.split(".")[0], bool(function._schema.is_mutable)
        _TRAITS[id(function)] = traits
    return traits


def pick_expression(source: Expression, output: torch.Tensor) -> Expression:
    """Entries at places that are not known: known all the same where all entries are equal, else an error."""
    return Expression(_pick_from_uniform, (source, tuple(output.shape)), {}, assumed=source.assumed)


def _assume_balance(name: str, scores: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> None:
    """Indices of the largest scores that choose every place equally often, row after row: 0 1, 2 3, 0 1 of four."""
    dim = kwargs.get("dim", args[2 if name == "topk" else 1] if len(args) > (2 if name == "topk" else 1) else None)
    dim = -1 if dim is None and name == "topk" else dim
    indices = _tensors(out)[_CHOOSING[name]] if len(_tensors(out)) > _CHOOSING[name] else None
    if dim is None or indices is None or scores.dim() == 0:
        return
    places, is_last = scores.shape[dim], dim in (-1, scores.dim() - 1)
    if is_last and places:
        set_expression(
            indices, Expression(_balanced, (tuple(indices.shape), places), {}, assumed=frozenset([BALANCED]))
        )


def _balanced(shape: tuple[int, ...], places: int) -> torch.Tensor:
    """Whole numbers below `places`, each equally often.

    >>> _balanced((3, 2), 4).tolist()
    [[0, 1], [2, 3], [0, 1]]
    """
    return (torch.arange(math.prod(shape)) % places).view(shape)


def set_expression(tensor: torch.Tensor, expression: Expression) -> None:
    """Say how a tensor was made; a later write through another view of its memory makes that void."""
    expression.size = tensor.numel()
    setattr(tensor, _EXPRESSION, (expression, _count_writes(tensor)))


def _count_writes(tensor: torch.Tensor) -> int:
    return getattr(tensor.untyped_storage(), _WRITES, 0)


def _note_writes(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """A write through one view makes what was known of every other view of that memory out of date."""
    for position, argument in enumerate(function._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = args[position] if position < len(args) else kwargs.get(argument.name)
            for tensor in _tensors(value):
                setattr(tensor.untyped_storage(), _WRITES, _count_writes(tensor) + 1)


def _pick_from_uniform(source: torch.Tensor, shape: tuple[int, ...]) -> torch.Tensor:
    first = source.flatten()[:1]
    if not bool((source == first).all()):
        raise Untraceable("The model asks for entries at positions that are not known without running it.")
    return first.expand(shape) if shape else first[0]


def _tensors(output: Any) -> list[torch.Tensor]:
    if isinstance(output, torch.Tensor):
        return [output]
    if isinstance(output, list | tuple):
        return [item for item in output if isinstance(item, torch.Tensor)]
    return []
