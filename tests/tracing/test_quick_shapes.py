"""Quick sizes are what torch says, layout included; where they might not be, torch is asked."""

from __future__ import annotations

import itertools
import random

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


def operand(rng: random.Random, shape: list[int], dtype: torch.dtype) -> torch.Tensor:
    """A tensor that broadcasts to a shape: its dimensions in any order in memory, some of size 1, with gaps or not."""
    order = list(range(len(shape)))
    rng.shuffle(order)
    sizes = [size if rng.random() < 0.8 else 1 for size in shape]
    stored = [sizes[dim] for dim in order]
    gap = rng.choice([1, 1, 2])
    whole = meta((*stored[:-1], gap * stored[-1]), dtype) if stored else meta((), dtype)
    made = (whole[..., ::gap] if stored else whole).permute([order.index(dim) for dim in range(len(shape))])
    return made[0] if stored and sizes[0] == 1 and rng.random() < 0.3 else made


def test_elementwise_in_any_layout() -> None:
    rng = random.Random(0)
    answered = []
    for _ in range(4000):
        shape = [rng.choice([1, 2, 3, 4, 5]) for _ in range(rng.randint(0, 5))]
        dtype = rng.choice([torch.bfloat16, torch.float32, torch.int64])
        x, y = operand(rng, shape, dtype), operand(rng, shape, rng.choice([dtype, torch.float32]))
        mask = operand(rng, shape, torch.bool)
        cases = {
            "mul.Tensor": (x, y), "sub.Tensor": (x, y), "div.Tensor": (x, y), "div_.Tensor": (x, y),
            "neg.default": (x,), "log.default": (x,), "ge.Tensor": (x, y), "lt.Scalar": (x, rng.choice([2, 1.5])),
            "where.self": (mask, x, y), "where.ScalarOther": (mask, x, -3.5), "masked_fill.Scalar": (x, mask, 0.0),
            "masked_fill_.Scalar": (x, mask, 0.0),
        }  # fmt: skip
        operator = rng.choice(list(cases))
        try:
            torch.broadcast_shapes(*[t.shape for t in cases[operator] if isinstance(t, torch.Tensor)])
        except RuntimeError:
            continue
        answered += [operator] if check(operator, *cases[operator]) else []
    assert all(answered.count(operator) > 20 for operator in cases)


def test_rotated_queries_are_answered() -> None:
    """What every decoder does, batch 1 and others: heads that are still turned round, times angles of all of them."""
    for batch in (1, 3):
        query, angles = meta((batch, 5, 4, 8)).transpose(1, 2), meta((batch, 1, 5, 8))
        assert check("mul.Tensor", query, angles) and check("neg.default", query[..., 4:])
        assert check("add.Tensor", query, meta((batch, 4, 5, 8)))


def test_joined_and_counted() -> None:
    turned = meta((2, 5, 3, 4)).transpose(1, 2)
    assert check("cat.default", [meta((0,)), turned], -2) and check("cat.default", [meta((0,)), turned, turned], 1)
    assert check("cat.default", [meta((2, 3)), meta((2, 4)).as_strided((2, 4), (1, 2))], -1)
    assert not check("cat.default", [turned, turned], -1)  # whether channels come last is torch's to say
    assert not check("cat.default", [meta((2,)), meta((2,), torch.float32)])
    device = torch.device("meta")
    assert check("arange.default", 7, device=device, pin_memory=False)
    assert check("arange.default", 0, dtype=torch.int64, device=device)
    assert quick_output("aten.arange.default", (7.5,), {"device": device}) is None
    assert quick_output("aten.arange.default", (7,), {}) is None  # on the host, with its values


def test_averages_and_whole_numbers() -> None:
    for shape in ((2, 3, 4), (1, 3, 1), (2, 1, 4), (3, 1), (0, 3, 4)):
        for dims, keeps in itertools.product(([-1], [0], [0, -1], [-2, -1]), (True, False)):
            if len({dim % len(shape) for dim in dims}) == len(dims):
                assert all(check(operator, meta(shape), dims, keeps) for operator in ("mean.dim", "sum.dim_IntList"))
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
        ("add.Tensor", (meta((2,)), meta((), torch.float32))),  # another dtype, of no dimension
        ("add.Tensor", (meta((2,)), meta((2,), torch.int64))),
        ("neg.default", (meta((2, 3, 1)).transpose(0, 2),)),
        ("add.Tensor", (meta((2,), torch.int64), 1.5)),  # a whole number and a fraction
        ("mul.Tensor", (meta((2,)), torch.tensor(2.0))),  # a number on the host
        ("linear.default", (meta((2, 3, 4)).transpose(0, 1), meta((5, 4)))),
        ("matmul.default", (meta((2, 3)), meta((3, 4)))),
    ],
)
def test_torch_is_asked_where_the_answer_is_not_plain(operator: str, args: tuple[object, ...]) -> None:
    assert quick_output(f"aten.{operator}", args, {}) is None
