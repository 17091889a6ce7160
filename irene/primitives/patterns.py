"""A call without its numbers, and the numbers apart: calls of one pattern differ only in sizes, strides and counts.

A sweep over batch sizes and lengths meets few patterns and many sizes. Numbers are all whole numbers of a call: shapes
and strides of operands and outputs, and whole-number arguments. Everything else (operator, dtypes, flags, fractions,
texts, which tensor is a weight) belongs to the pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from irene.primitives.call import Argument, Call, TensorSpec

Numbers: TypeAlias = tuple[int, ...]
_Make: TypeAlias = Callable[[Sequence[int]], Any]


@dataclass(frozen=True, slots=True)
class Pattern:
    """The form of a call: a nested tuple in which each tensor has its rank, and each whole number only its place."""

    op: str
    form: tuple[Any, ...]
    is_view: bool


def split_call(call: Call) -> tuple[Pattern, Numbers]:
    """The pattern of a call and its numbers; `builder_of(pattern)(numbers)` is the call again.

    >>> x = TensorSpec((4, 8), (8, 1), "float32")
    >>> pattern, numbers = split_call(Call("aten.narrow.default", (x, 0, 2, 1), (), (x,)))
    >>> numbers
    (4, 8, 8, 1, 0, 2, 1, 4, 8, 8, 1)
    >>> builder_of(pattern)(numbers).args[1:]
    (0, 2, 1)
    """
    numbers: list[int] = []
    args = tuple([_form_of(value, numbers) for value in call.args])
    kwargs = tuple([(name, _form_of(value, numbers)) for name, value in call.kwargs])
    outputs = tuple([_form_of(output, numbers) for output in call.outputs])
    return Pattern(call.op, (args, kwargs, outputs), call.is_view), tuple(numbers)


def builder_of(pattern: Pattern) -> Callable[[Sequence[int]], Call]:
    """A function from numbers, as many and in the order that `split_call` gives them, to the call."""
    args, kwargs, outputs = pattern.form
    place = [0]
    make_args = [_maker_of(form, place) for form in args]
    make_kwargs = [(name, _maker_of(form, place)) for name, form in kwargs]
    make_outputs = [_maker_of(form, place) for form in outputs]
    op, is_view = pattern.op, pattern.is_view

    def build(numbers: Sequence[int]) -> Call:
        return Call(
            op,
            tuple([make(numbers) for make in make_args]),
            tuple([(name, make(numbers)) for name, make in make_kwargs]),
            tuple([make(numbers) for make in make_outputs]),
            is_view,
        )

    return build


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """Where a tensor's numbers begin in a pattern's: `rank` sizes, then as many strides."""

    start: int
    rank: int
    dtype: str
    is_output: bool


def tensors_of(pattern: Pattern) -> tuple[TensorPlace, ...]:
    """The operands of a pattern in the order of `Call.tensors`, then its outputs.

    >>> x = TensorSpec((4, 8), (8, 1), "float32")
    >>> [tensor.start for tensor in tensors_of(split_call(Call("aten.narrow.default", (x, 0, 2, 1), (), (x,)))[0])]
    [0, 7]
    """
    return tuple([
        TensorPlace(start, form[1], form[2], is_output)
        for form, start, is_output in _walk(pattern) if form[0] == "tensor"
    ])  # fmt: skip


def places_of_arguments(pattern: Pattern) -> tuple[int, ...]:
    """Which of the numbers are arguments, and no sizes or strides of tensors.

    >>> x = TensorSpec((4, 8), (8, 1), "float32")
    >>> places_of_arguments(split_call(Call("aten.narrow.default", (x, 0, 2, 1), (), (x,)))[0])
    (4, 5, 6)
    """
    return tuple([start for form, start, _ in _walk(pattern) if form[0] == "number"])


def _walk(pattern: Pattern) -> Iterator[tuple[Any, int, bool]]:
    """The forms that hold numbers, the place of the first number of each, and whether it is an output."""
    args, kwargs, outputs = pattern.form
    left = [(form, True) for form in reversed(outputs)] + [
        (form, False) for form in (*(own for _, own in reversed(kwargs)), *reversed(args))
    ]
    place = 0
    while left:
        form, is_output = left.pop()
        kind, *rest = form
        if kind == "tuple":
            left += [(item, is_output) for item in reversed(rest)]
        elif kind in ("tensor", "number"):
            yield form, place, is_output
            place += 2 * rest[0] if kind == "tensor" else 1


def _form_of(value: Argument, numbers: list[int]) -> Any:
    """What stays of a value when its numbers are taken out; forms of different kinds are never equal."""
    if isinstance(value, TensorSpec):
        numbers.extend(value.shape)
        numbers.extend(value.stride)
        return ("tensor", len(value.shape), value.dtype, value.weight, value.on_host)
    if isinstance(value, tuple):
        return ("tuple", *[_form_of(item, numbers) for item in value])
    if isinstance(value, int) and not isinstance(value, bool):
        numbers.append(value)
        return ("number",)
    return ("as it is", type(value).__name__, value)  # the type: True and 1.0 are equal in Python


def _maker_of(form: Any, place: list[int]) -> _Make:
    """How to make a value from numbers; `place` counts the numbers that were taken so far."""
    kind, *rest = form
    start = place[0]
    if kind == "tensor":
        rank, *others = rest  # dtype, whether it is a weight, whether it lies on the host
        place[0] += 2 * rank
        middle, end = start + rank, start + 2 * rank
        return lambda numbers: TensorSpec(tuple(numbers[start:middle]), tuple(numbers[middle:end]), *others)
    if kind == "number":
        place[0] += 1
        return lambda numbers: numbers[start]
    if kind == "tuple":
        makers = [_maker_of(item, place) for item in rest]
        return lambda numbers: tuple([make(numbers) for make in makers])
    value = rest[1]
    return lambda numbers: value
