"""A table of stacked calls is the table of the same calls one by one: every column, to the bit."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from irene.errors import BadInput
from irene.hardware.devices import load_device
from irene.leaves.leaf_table import LeafTable, effective_dtype, make_table
from irene.primitives.call import Call
from irene.primitives.patterns import builder_of, split_call
from irene.primitives.stacks import CallStack, Form
from tests.golden.computing import load_cases

SPEC = load_device("h200")
FACTORS = (1, 2, 3, 5, 7, 8, 12, 16, 31)
CASES = load_cases("column_calls.json")


def larger(call: Call) -> tuple[CallStack, list[Call]]:
    """A call and the same with all sizes and strides times some factors: a stack, and one by one."""
    pattern, numbers = split_call(call)
    rows = [tuple(number * factor if number > 1 else number for number in numbers) for factor in FACTORS]
    stack = CallStack((Form(pattern, np.arange(len(rows)), np.array(rows, dtype=np.int64)),))
    return stack, [builder_of(pattern)(row) for row in rows]


def columns_of(table: LeafTable) -> dict[str, object]:
    skipped = ("calls", "spec")
    names = [field.name for field in fields(table) if field.init and field.name not in skipped]
    found: dict[str, object] = {name: getattr(table, name) for name in names}
    for name in dict.fromkeys(table.regressors):
        found[f"matrix {name}"] = table.compute_matrix(name, table.members_of(name))
    return found


@pytest.mark.parametrize("op", sorted({case.call.op for case in CASES}))
def test_every_column_is_that_of_the_call_alone(op: str) -> None:
    for case in [case for case in CASES if case.call.op == op][:3]:
        stack, alone = larger(case.call)
        modes = [effective_dtype(call, case.dtype) for call in alone]
        cold = [case.weights == "cold"] * len(alone)
        try:
            expected = columns_of(make_table(alone, modes, cold, SPEC))
        except (BadInput, IndexError, ZeroDivisionError):  # with other numbers it is no call of this operator
            continue
        for name, column in columns_of(make_table(stack, modes, cold, SPEC)).items():
            assert np.array_equal(np.asarray(column), np.asarray(expected[name])), name


def test_a_stack_is_the_sequence_of_its_calls() -> None:
    stack, alone = larger(CASES[0].call)
    assert list(stack) == alone and stack[2:4][1] == alone[3] and stack[-1] == alone[-1]
    turned = np.array([3, 0, 3])
    assert list(stack.take(turned)) == [alone[3], alone[0], alone[3]]
