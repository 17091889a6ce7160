"""Quick sizes are what torch says, layout included; where they might not be, torch is asked."""

from __future__ import annotations

import itertools

import pytest
import torch

from irene.tracing.quick_shapes import quick_output

SHAPES = [(2, 3, 4), (1, 3, 1), (4,), (3, 1), (2, 1, 4), (1,), (), (0, 3, 4), (1, 1, 1)]


def meta(shape: tuple[int, ...], dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def layouts(shape: tuple[int, ...]) -> list[torch.Tensor]:
    """Plain, turned round, sliced, expanded."""
    plain = meta(shape)
    made = [plain]
    if len(shape) > 1:
        made += [
            meta((*shape[:-2], shape[-1], shape[-2])).transpose(-1, -2),
            meta((*shape[:-1], 2 * shape[-1]))[..., ::2],
        ]
        made += [meta((1, *shape[1:])).expand(shape)] if shape[0] else []
    return made


def check(operator: str, *args: object, **kwargs: object) -> bool:
    packet, overload = operator.split(".")
    quick = quick_output(f"aten.{operator}", args, kwargs)
    if quick is None:
        return False
    asked = getattr(getattr(torch.ops.aten, packet), overload)(*args, **kwargs)
    got, expected = ((t.shape, t.stride(), t.dtype, t.device) for t in (quick, asked))
    assert got == expected, (operator, [getattr(a, "shape", a) for a in args])
    return True


def test_elementwise() -> None:
    answered = 0
    for a, b in itertools.product(SHAPES, repeat=2):
        for x, y in itertools.product(layouts(a), layouts(b)):
            try:
                torch.broadcast_shapes(a, b)
            except RuntimeError:
                continue
            answered += check("add.Tensor", x, y) + check("mul.Tensor", x, y)
    for shape in SHAPES:
        for x in layouts(shape):
            answered += check("pow.Tensor_Scalar", x, 2) + check("gelu.default", x, approximate="tanh")
            answered += check("rsqrt.default", x) + check("div.Tensor", x, 2.5)
    assert answered > 100


def test_averages_and_whole_numbers() -> None:
    for shape in ((2, 3, 4), (1, 3, 1), (2, 1, 4), (3, 1), (0, 3, 4)):
        for dims, keeps in itertools.product(([-1], [0], [0, -1], [-2, -1]), (True, False)):
            if len({dim % len(shape) for dim in dims}) == len(dims):
                assert check("mean.dim", meta(shape), dims, keeps)
    assert not check("mean.dim", meta((2, 3)).t(), [0])
    assert check("floor_divide.default", meta((2, 3), torch.int64), 2)
    assert not check("floor_divide.default", meta((2, 3), torch.int64), 2.0)
    x = meta((2, 3)).t()
    assert quick_output("aten.clamp_.default", (x, 0.0), {}) is x is torch.ops.aten.clamp_.default(x, 0.0)
    whole = meta((2, 3), torch.int64)
    assert quick_output("aten.clamp_.default", (whole, None), {"max": 7}) is whole
    assert quick_output("aten.clamp_.default", (whole, 0.5), {}) is None  # torch refuses it
    assert check("cumsum.default", whole, 0, dtype=torch.int32) and not check("cumsum.default", whole, 0)
    assert not check("cumsum.default", x, 0, dtype=torch.float32)


def test_products_and_norms() -> None:
    weight, bias = meta((5, 4)), meta((5,))
    for shape in ((2, 3, 4), (1, 1, 4), (3, 4), (0, 4)):
        assert check("linear.default", meta(shape), weight, bias) and check("linear.default", meta(shape), weight)
    assert check("linear.default", meta((2, 3, 4))[:, 0], weight, bias)  # rows with gaps between them
    for sizes in ([4], [3, 4]):
        assert check("layer_norm.default", meta((2, 3, 4)), sizes, meta(tuple(sizes)), None, 1e-5)


@pytest.mark.parametrize(
    ("operator", "args"),
    [
        ("add.Tensor", (meta((2,)), meta((2,), torch.float32))),  # another dtype
        ("add.Tensor", (meta((2,), torch.int64), 1.5)),  # a whole number and a fraction
        ("mul.Tensor", (meta((2,)), torch.tensor(2.0))),  # a number on the host
        ("linear.default", (meta((2, 3, 4)).transpose(0, 1), meta((5, 4)))),
        ("matmul.default", (meta((2, 3)), meta((3, 4)))),
    ],
)
def test_torch_is_asked_where_the_answer_is_not_plain(operator: str, args: tuple[object, ...]) -> None:
    assert quick_output(f"aten.{operator}", args, {}) is None
