"""Calls between two traced lengths: straight lines, and what has none."""

from __future__ import annotations

from irene.primitives.call import Call
from irene.tracing.call_laws import find_law
from tests.predictor.made_law import gelu, linear, tensor


def cat(length: int) -> Call:
    operands = (tensor((2, length, 8)), tensor((2, 1, 8)))
    return Call("aten.cat.default", (operands, 1), (), (tensor((2, length + 1, 8)),))


def test_every_number_goes_straight() -> None:
    law = find_law([linear(2, 8, 8), cat(10)], 10, [linear(2, 8, 8), cat(90)], 90)
    assert law is not None and law.at(47) == {linear(2, 8, 8): linear(2, 8, 8), cat(10): cat(47)}
    assert law.holds([cat(10), linear(2, 8, 8)], [cat(33), linear(2, 8, 8)], 33)
    assert not law.holds([cat(10)], [cat(34)], 33) and not law.holds([cat(10)], [], 33)


def test_numbers_that_are_not_whole_have_no_law() -> None:
    law = find_law([gelu(16, 8)], 10, [gelu(24, 8)], 26)  # rounded up to a multiple of 8
    assert law is not None and law.at(20) is not None and law.at(19) is None


def test_calls_that_differ_in_more_than_numbers_have_no_law() -> None:
    assert find_law([linear(2, 8, 8)], 10, [linear(2, 8, 8, "float16")], 20) is None
    assert find_law([linear(2, 8, 8)], 10, [gelu(2, 8)], 20) is None
    assert find_law([gelu(2, 8)], 10, [gelu(2, 8), gelu(2, 8)], 20) is None
    # Two calls that are equal at one length and not at the other.
    assert find_law([gelu(2, 8), gelu(2, 8)], 10, [gelu(2, 8), gelu(4, 8)], 20) is None
