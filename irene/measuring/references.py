"""Reference calls: the same few, first and last in every collection, so that drift of card, host or day can be seen.

One of them tracks the card: captured, so that the host has no part in it, and well below the power cap. On five cards
it drew 0.70 to 0.89 J, and on one of them 13 % more after ten hot minutes.
"""

from __future__ import annotations

from dataclasses import dataclass

from irene.measuring.plan import ModelCase, PrimitiveCase
from irene.model_tree.workload import Workload
from irene.primitives.call import Call, TensorSpec


@dataclass(frozen=True, slots=True)
class Reference:
    """A named reference; `eager` primitives are launched from Python, so that they show the host.

    One that `tracks_card` is measured between the cases of a collection as well, and after a rest.
    """

    name: str
    case: PrimitiveCase | ModelCase
    eager: bool = False
    tracks_card: bool = False


TRACK_EVERY_S = 120.0
REST_S = 20.0


def _dense(*shape: int, dtype: str = "bfloat16") -> TensorSpec:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return TensorSpec(shape, tuple(reversed(strides)), dtype)


def _primitive(call: Call, dtype: str) -> PrimitiveCase:
    return PrimitiveCase(call, "hot", "reference", True, dtype)


def _cube(size: int, dtype: str) -> PrimitiveCase:
    square = _dense(size, size, dtype=dtype)
    return _primitive(Call("aten.mm.default", (square, square), (), (square,)), dtype)


def _attention() -> PrimitiveCase:
    heads = _dense(8, 32, 2048, 128)
    call = Call("aten.scaled_dot_product_attention.default", (heads, heads, heads, None, 0.0, True), (), (heads,))
    return _primitive(call, "bfloat16")


def _gelu(elements: int) -> PrimitiveCase:
    return _primitive(Call("aten.gelu.default", (_dense(elements),), (), (_dense(elements),)), "bfloat16")


def _bert(batch_size: int, seq_len: int, dtype: str, execution: str = "eager") -> ModelCase:
    return ModelCase(
        "bert-base-uncased", Workload(batch_size=batch_size, seq_len=seq_len, dtype=dtype, execution=execution)
    )


REFERENCES = (
    # First: what went before is then a start, a load or a rest, not another reference.
    Reference("bert-base-bfloat16-8x128-captured", _bert(8, 128, "bfloat16", "cuda_graph"), tracks_card=True),
    Reference("gemm-8192-bfloat16", _cube(8192, "bfloat16")),
    Reference("gemm-4096-float32", _cube(4096, "float32")),
    Reference("attention-8x32x2048x128-causal-bfloat16", _attention()),
    Reference("gelu-512MB-bfloat16", _gelu(256 * 1024 * 1024)),
    Reference("gelu-6144-bfloat16-eager", _gelu(6144), eager=True),
    Reference("bert-base-bfloat16-8x128", _bert(8, 128, "bfloat16")),
    Reference("bert-base-bfloat16-32x512", _bert(32, 512, "bfloat16")),
    Reference("bert-base-float32-16x256", _bert(16, 256, "float32")),
)
