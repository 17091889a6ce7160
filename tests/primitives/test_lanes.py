"""Arithmetic in lanes is Python's own, lane by lane; what lanes cannot know is never guessed."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irene.primitives.call import Call, TensorSpec
from irene.primitives.lanes import Lanes, NotInLanes, Parted
from irene.primitives.patterns import split_call
from irene.primitives.stacks import CallStack, Form, numbers_of

NUMBERS = st.lists(st.integers(-(2**31), 2**31), min_size=1, max_size=6)
OPERATORS = (operator.add, operator.sub, operator.mul, operator.floordiv, operator.mod, operator.truediv,
             operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)  # fmt: skip


@given(NUMBERS, st.integers(-(2**31), 2**31), st.sampled_from(OPERATORS))
def test_operators_are_pythons(numbers, other, apply) -> None:
    lanes = Lanes(np.array(numbers, dtype=np.int64))
    for left, right, expect in (
        (lanes, other, lambda each: apply(each, other)),
        (other, lanes, lambda each: apply(other, each)),
        (lanes, lanes, lambda each: apply(each, each)),
    ):
        try:
            expected = [expect(each) for each in numbers]
        except ZeroDivisionError:
            with pytest.raises(NotInLanes):
                apply(left, right)
            continue
        assert apply(left, right).values.tolist() == expected


def test_what_lanes_cannot_know_is_refused() -> None:
    large = Lanes(np.array([2**40, 3]))
    with pytest.raises(NotInLanes):
        large * large  # beyond 64 bits
    with pytest.raises(NotInLanes):
        Lanes(np.array([2**60 + 1])) / 3  # Python divides whole numbers without rounding them first
    with pytest.raises(TypeError):
        hash(large)
    with pytest.raises(Parted) as parted:
        bool(large > 5)
    assert parted.value.yes.tolist() == [True, False]


def stack_of(calls: list[Call]) -> CallStack:
    (pattern,) = {split_call(call)[0] for call in calls}
    numbers = np.array([split_call(call)[1] for call in calls], dtype=np.int64)
    return CallStack((Form(pattern, np.arange(len(calls)), numbers),))


def vector(size: int, amount: int = 1) -> Call:
    spec = TensorSpec((size,), (1,), "float32")
    return Call("aten.roll.default", (spec, (amount,)), (), (spec,))


def test_a_rule_is_asked_once_for_each_answer_to_its_questions() -> None:
    asked = 0

    def rule(call: Call) -> tuple[int]:
        nonlocal asked
        asked += 1
        size = call.tensors[0].shape[0]
        return (size * 2 if size > 50 else -size,)

    sizes = list(range(100))
    assert numbers_of(rule, stack_of([vector(size) for size in sizes]), 1)[0].tolist() == [
        size * 2 if size > 50 else -size for size in sizes
    ]
    assert asked == 3  # all, those above 50, the others


def test_arguments_are_plain_numbers_to_a_rule() -> None:
    """Rules ask whether an argument is a whole number; one in lanes would be none to them."""

    def rule(call: Call) -> tuple[int]:
        (amount,) = call.args[1]  # type: ignore[misc]
        return (amount if isinstance(amount, int) else -1,)

    calls = [vector(size, size % 3) for size in range(60)]
    assert numbers_of(rule, stack_of(calls), 1)[0].tolist() == [size % 3 for size in range(60)]


def test_a_rule_that_needs_each_number_gets_each() -> None:
    names = {size: size * 10 for size in range(20)}
    stack = stack_of([vector(size) for size in range(20)])
    assert numbers_of(lambda call: (names[call.tensors[0].shape[0]],), stack, 1)[0].tolist() == list(names.values())
