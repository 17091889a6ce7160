"""Random calls in low precision: fp8 and int8 products, 2:4 sparse and packed weights, and the passes beside them.

A third of the products have the few rows of a decoding step; half of the widths are those of published models, half
are drawn. What torch's kernels want of sizes: `torch/_meta_registrations.py` (`_scaled_mm`: multiples of 16),
`aten/src/ATen/native/cuda/Blas.cpp` (`_int_mm`: more than 16 rows), `aten/src/ATen/native/cuda/int4mm.cu`,
`torch/sparse/semi_structured.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import torch

from irene.measuring.programs import on_meta, record_program
from irene.measuring.random_shapes import Drawn, draw
from irene.primitives.call import Call
from irene.primitives.shapes import compute_dtype
from irene.tracing.encoding import spec_of
from irene.variants.low_precision import passes

_FP8 = "float8_e4m3fn"
_LARGEST_FLOP = 5e12
# (out, in) features of linear layers: BERT-base and -large, Qwen2-1.5B, Llama-3.2-1B, -3.1-8B and -70B, Gemma-2-2B.
_WIDTHS = (
    (768, 768), (3072, 768), (768, 3072), (4096, 1024), (1024, 4096), (8960, 1536), (1536, 8960), (2048, 2048),
    (8192, 2048), (2048, 8192), (4096, 4096), (6144, 4096), (14336, 4096), (4096, 14336), (28672, 8192), (8192, 28672),
    (9216, 2304), (2304, 9216),
)  # fmt: skip


def low_precision_calls(settings: dict[str, Any], rng: random.Random) -> Iterator[Drawn]:
    """The calls of a plan's [harvest.low_precision] table: how many of each sort."""
    for name, generate in _SORTS.items():
        yield from islice(generate(rng), int(settings.get(name, 0)))


def _sizes(rng: random.Random, least_rows: int = 1, most_flop: float = _LARGEST_FLOP) -> tuple[int, int, int]:
    """(rows, out features, in features); features are multiples of 64."""
    while True:
        rows = draw(rng, least_rows, 64) if rng.random() < 0.4 else draw(rng, 64, 16384)
        n, k = rng.choice(_WIDTHS) if rng.random() < 0.5 else (draw(rng, 256, 28672, 64), draw(rng, 256, 28672, 64))
        if 2 * rows * n * k <= most_flop:
            return rows, n, k


def _fp8(rng: random.Random) -> Iterator[Drawn]:
    """`_scaled_mm` with a scale a tensor, a row, or a block of 128 x 128 (activations 1 x 128)."""
    while True:
        rows, n, k = _sizes(rng)
        x, weight, out = on_meta((rows, k), _FP8), on_meta((n, k), _FP8), "bfloat16"
        scaling = rng.choices(("tensor", "row", "block"), weights=(45, 45, 10))[0]
        has_bias, is_fast = scaling != "block" and rng.random() < 0.2, scaling != "block" and rng.random() < 0.7
        if scaling == "tensor":
            x_scale, scale = on_meta((), "float32"), on_meta((), "float32")
            out = rng.choice(("bfloat16", "bfloat16", "float16"))
        elif scaling == "row":
            x_scale, scale = on_meta((rows, 1), "float32"), on_meta((1, n), "float32")
        else:  # scales of activations run along rows, those of weights are kept in rows of whole fours
            k = max(512, k // 512 * 512)
            n = max(128, n // 128 * 128)
            x, weight = on_meta((rows, k), _FP8), on_meta((n, k), _FP8)
            x_scale, scale = on_meta((k // 128, rows), "float32").t(), on_meta((n // 128, k // 128), "float32")
        weights = [weight, scale, *([on_meta((n,), out)] if has_bias else [])]
        options = (out, is_fast, scaling == "block")
        yield from _recorded(_scaled_mm, [x, x_scale, options], weights, "_scaled_mm")


def _scaled_mm(
    x: torch.Tensor, x_scale: torch.Tensor, options: tuple[str, bool, bool], weight: torch.Tensor,
    scale: torch.Tensor, bias: torch.Tensor | None = None,
) -> torch.Tensor:  # fmt: skip
    out, is_fast, is_block = options
    scale = scale.t() if is_block else scale
    return torch._scaled_mm(x, weight.t(), x_scale, scale, bias, None, getattr(torch, out), is_fast)


def _int8(rng: random.Random) -> Iterator[Drawn]:
    """`_int_mm`; the second factor lies as a linear layer's weight does, seldom the other way round."""
    while True:
        rows, n, k = _sizes(rng, least_rows=17)
        x = on_meta((rows, k), "int8")
        if rng.random() < 0.85:
            yield from _recorded(lambda x, w: torch._int_mm(x, w.t()), [x], [on_meta((n, k), "int8")], "_int_mm")
        else:
            yield from _recorded(torch._int_mm, [x], [on_meta((k, n), "int8")], "_int_mm")


def _sparse(rng: random.Random) -> Iterator[Drawn]:
    """2:4 sparse weights by cuSPARSELt, activations transposed; a few by CUTLASS's kernel, which not every GPU runs."""
    while True:
        rows, n, k = _sizes(rng, most_flop=_LARGEST_FLOP / 2)
        rows, n, k = -(-rows // 16) * 16, max(n, 64), max(k, 64)
        dtype = rng.choices(("bfloat16", "float16", "int8"), weights=(70, 15, 15))[0]
        x = on_meta((rows, k), dtype)
        if rng.random() < 0.06 and dtype != "int8":
            halves, places = on_meta((n, k // 2), dtype), on_meta((n, k // 16), "int16")
            op = torch.ops.aten._sparse_semi_structured_linear.default
            yield from _recorded(op, [x], [halves, places], "_sparse_semi_structured_linear")
            continue
        packed = on_meta((n, k * (10 if dtype == "int8" else 9) // 16), dtype)
        weights = [packed, *([on_meta((n,), dtype)] if dtype != "int8" and rng.random() < 0.3 else [])]
        yield from _recorded(lambda x, w, b=None: torch._cslt_sparse_mm(w, x.t(), b), [x], weights, "_cslt_sparse_mm")


def _weight_only(rng: random.Random) -> Iterator[Drawn]:
    """Weights of 8 or 4 bits beside bfloat16 activations, dequantised inside the product."""
    int8 = torch.ops.aten._weight_int8pack_mm.default
    while True:
        if rng.random() < 0.4:
            rows, n, k = _sizes(rng, most_flop=1e11)
            weights = [on_meta((n, k), "int8"), on_meta((n,), "bfloat16")]
            yield from _recorded(int8, [on_meta((rows, k), "bfloat16")], weights, "_weight_int8pack_mm")
            continue
        rows, n, k = _sizes(rng, most_flop=5e11)
        k, group = max(k // 128, 1) * 128, rng.choice((32, 64, 128, 128))
        weights = [on_meta((n // 8, k // 128, 32, 4), "int32"), on_meta((k // group, n, 2), "bfloat16")]
        # Written out: its rule for meta tensors asks what only torch's fake tensors answer.
        packed, scales = (spec_of(weight, weight=True) for weight in weights)
        args = (spec_of(on_meta((rows, k), "bfloat16")), packed, group, scales)
        yield Call("aten._weight_int4pack_mm.default", args, (), (spec_of(on_meta((rows, n), "bfloat16")),)), "bfloat16"


def _passes(rng: random.Random) -> Iterator[Drawn]:
    """What stands beside the products: activations quantised as they come, results scaled, weights unpacked."""
    while True:
        rows, n, k = draw(rng, 1, 16384), draw(rng, 256, 16384, 64), draw(rng, 256, 16384, 64)
        if max(rows, n) * k > 2e8:
            continue
        x = on_meta((rows, k), rng.choice(("bfloat16", "bfloat16", "float16")))
        yield from _recorded(passes.quantise_fp8, [x])
        yield from _recorded(passes.quantise_int8, [x])
        yield from _recorded(_scale_result, [on_meta((rows, n), "int32"), on_meta((rows, 1), "float32")],
                             [on_meta((n,), "float32")])  # fmt: skip
        scales = on_meta((n, k // 64, 1), "bfloat16")
        yield from _recorded(passes.dequantise_groups, [], [on_meta((n, k), "int8"), scales])
        yield from _recorded(_dequantise, [], [on_meta((n, k), _FP8), on_meta((n, 1), "float32")])
        yield from _recorded(passes.unpack_int4, [], [on_meta((n, k // 8), "int32"), on_meta((8,), "int32"),
                                                on_meta((n, k // 64, 1), "bfloat16")])  # fmt: skip
        yield from _recorded(passes.look_up, [], [on_meta((n, k // 2), "uint8"), on_meta((16,), "bfloat16")])


def _scale_result(product: torch.Tensor, x_scale: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return passes.scale_result(product, x_scale, scale, torch.bfloat16)


def _dequantise(weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return passes.dequantise(weight, scale, torch.bfloat16)


def _recorded(
    function: Callable[..., object], inputs: list[Any], weights: list[torch.Tensor] | None = None, name: str = ""
) -> Iterator[Drawn]:
    """The calls of a program, those of one operator alone where it is named, in the dtypes that they compute in."""
    for call in record_program(function, inputs, weights or []):
        if not name or call.name == name:
            yield call, compute_dtype(call)


_SORTS: dict[str, Callable[[random.Random], Iterator[Drawn]]] = {
    "fp8": _fp8, "int8": _int8, "sparse": _sparse, "weight_only": _weight_only, "passes": _passes,
}  # fmt: skip
