"""Points in the middle of others: near to all, never twice, and of every kind that weighs."""

from __future__ import annotations

import random

from irene.hardware.devices import load_device
from irene.measuring.choosing import pick_central
from irene.measuring.plan import PrimitiveCase
from irene.primitives.call import Call, TensorSpec

SPEC = load_device("h200")


def _gelu(rows: int, dtype: str = "bfloat16") -> PrimitiveCase:
    x = TensorSpec((rows, 1024), (1024, 1), dtype)
    return PrimitiveCase(Call("aten.gelu.default", (x,), (), (x,)), "hot", "", True, dtype)


def test_the_first_point_is_in_the_middle_and_the_next_ones_part_the_rest() -> None:
    cases = [_gelu(2**exponent) for exponent in range(4, 17)]
    rows = [case.call.tensors[0].shape[0] for case in pick_central(cases, 3, SPEC, random.Random(0))]
    assert rows[0] == 2**10
    assert min(rows) < 2**9 and max(rows) > 2**11 and len(set(rows)) == 3


def test_another_dtype_is_far_and_no_case_comes_twice() -> None:
    cases = [_gelu(2**exponent, dtype) for exponent in range(4, 10) for dtype in ("bfloat16", "float32")]
    assert {case.dtype for case in pick_central(cases, 2, SPEC, random.Random(0))} == {"bfloat16", "float32"}
    everything = pick_central(cases, 50, SPEC, random.Random(0))
    assert len(everything) == len(set(everything)) == len(cases)
