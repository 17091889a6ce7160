"""A call is its pattern and its numbers, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from irene.primitives.call import Call, TensorSpec
from irene.primitives.patterns import builder_of, split_call

X = TensorSpec((4, 8), (8, 1), "float32")
CALL = Call("aten.cat.default", ((X, X), -1, True, 1.0), (("sizes", (2, None)), ("dtype", "torch.float32")), (X,))


def test_numbers_and_pattern_make_the_call_again() -> None:
    pattern, numbers = split_call(CALL)
    assert builder_of(pattern)(numbers) == CALL
    doubled = builder_of(pattern)([2 * n for n in numbers])
    assert doubled.args[:2] == ((TensorSpec((8, 16), (16, 2), "float32"),) * 2, -2)
    assert doubled.args[2:] == (True, 1.0) and split_call(doubled)[0] == pattern


def test_what_is_no_size_is_the_pattern() -> None:
    pattern, _ = split_call(CALL)
    weight = replace(X, weight=True)
    others = [
        replace(CALL, op="aten.stack.default"),
        replace(CALL, args=((X, X), -1, 1, 1.0)),  # 1, 1.0 and True are equal in Python
        replace(CALL, args=((X, X), -1, True, 2.0)),
        replace(CALL, args=((X, weight), -1, True, 1.0)),
        replace(CALL, args=((X,), -1, True, 1.0)),
        replace(CALL, outputs=(replace(X, dtype="bfloat16"),)),
        replace(CALL, outputs=(TensorSpec((32,), (1,), "float32"),)),
        replace(CALL, is_view=True),
    ]
    assert all(split_call(other)[0] != pattern for other in others)
