"""The canonical text of a call is its JSON."""

from __future__ import annotations

import json
import math

import pytest

from irene.primitives.call import Call, TensorSpec

X = TensorSpec((2, 3), (3, 1), "bfloat16")
WEIGHT = TensorSpec((), (), "bool", weight=True)


@pytest.mark.parametrize(
    "call",
    [
        Call("aten.add.Tensor", (X, WEIGHT)),
        Call("aten.cat.default", ((X, X), -1), (("out", X), ("dim", 0)), (X, WEIGHT), is_view=True),
        Call("aten.mul.Scalar", (X, True, 1, 1.0, 1e-7, math.inf, -math.inf, None, 'a "b" é', (), ((2, 0.5),))),
    ],
)
def test_the_signature_is_the_json_of_the_call(call: Call) -> None:
    assert call.signature == json.dumps(call.to_json(), separators=(",", ":"), sort_keys=True)
    assert Call.from_json(json.loads(call.signature)) == call


@pytest.mark.parametrize("other", [True, 1.0])
def test_numbers_of_another_type_are_another_call(other: object) -> None:
    """To Python 1, 1.0 and True are equal; to PyTorch they are not. Deep inside, and by name, too."""
    for write in (
        lambda value: Call("aten.mul.Tensor", (X, value)),
        lambda value: Call("aten.view.default", (X, (2, (3, value)))),
        lambda value: Call("aten.sum.default", (X,), (("dim", (value,)),)),
    ):
        assert write(1) == write(1) != write(other)
