"""Random shapes beside those that models happen to have: products, attention, convolutions in groups, log-uniform.

Every generator yields (call, dtype mode) for ever; the harvest takes as many as the plan asks for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from irene.primitives.call import Call, TensorSpec

Drawn = tuple[Call, str]

# How often each dtype mode is drawn: the 16-bit twins share their kernels, TF32 and float32 do not.
DTYPE_SHARES = {"bfloat16": 45, "float16": 10, "float32": 20, "tf32": 25}
# FLOP of the largest call: a few milliseconds at the mode's peak.
_LARGEST_FLOP = {"bfloat16": 3e12, "float16": 3e12, "tf32": 1.2e12, "float32": 2e11}
_HEADS = (4, 8, 12, 16, 20, 25, 32, 40, 64)
_HEAD_SIZES = (32, 64, 64, 64, 80, 96, 128, 128, 128, 256)


def random_calls(settings: dict[str, Any], rng: random.Random) -> Iterator[Drawn]:
    """The calls of a plan's [harvest.grid] table: how many of each sort, and in which dtypes (default all four)."""
    shares = {mode: DTYPE_SHARES[mode] for mode in settings.get("dtypes", DTYPE_SHARES)}
    for name, generate in _SORTS.items():
        yield from islice(generate(shares, rng), int(settings.get(name, 0)))


def stream_random_calls(sorts: dict[str, int], shares: dict[str, int], rng: random.Random) -> Iterator[Drawn]:
    """Calls for ever, of `sorts` and in the dtype modes of `shares`, drawn by their weights."""
    streams = {name: _SORTS[name](shares, rng) for name in sorts}
    while True:
        yield next(streams[rng.choices(list(sorts), weights=list(sorts.values()))[0]])


def dense(shape: tuple[int, ...], dtype: str, weight: bool = False, order: tuple[int, ...] | None = None) -> TensorSpec:
    """A contiguous tensor, its dimensions seen in another `order`."""
    strides, step = [0] * len(shape), 1
    for dim in reversed(range(len(shape))):
        strides[dim] = step
        step *= shape[dim]
    order = order or tuple(range(len(shape)))
    return TensorSpec(tuple(shape[d] for d in order), tuple(strides[d] for d in order), dtype, weight)


def draw(rng: random.Random, low: int, high: int, step: int = 1) -> int:
    """A whole number, log-uniform from `low` to `high`, a multiple of `step`."""
    value: float = low * (high / low) ** rng.random()
    return max(step, round(value / step) * step)


def draw_mode(shares: dict[str, int], rng: random.Random) -> tuple[str, str]:
    """(mode, dtype of the tensors): TF32 is a setting, its tensors are float32."""
    mode = rng.choices(list(shares), weights=list(shares.values()))[0]
    return mode, "float32" if mode == "tf32" else mode


def _linears(shares: dict[str, int], rng: random.Random, steps: tuple[int, ...] = (64,)) -> Iterator[Drawn]:
    """Linear layers, a third of them with the few rows of a decoding step; widths are multiples of one of `steps`."""
    while True:
        mode, dtype = draw_mode(shares, rng)
        rows = draw(rng, 1, 64) if rng.random() < 0.33 else draw(rng, 64, 65536)
        # No draw where there is no choice: plans that were drawn before come out the same.
        out_step, in_step = (steps[0],) * 2 if len(steps) == 1 else rng.choices(steps, k=2)
        out_features, in_features = draw(rng, 128, 28672, out_step), draw(rng, 128, 28672, in_step)
        if 2 * rows * out_features * in_features > _LARGEST_FLOP[mode]:
            continue
        x, weight = dense((rows, in_features), dtype), dense((out_features, in_features), dtype, weight=True)
        bias = dense((out_features,), dtype, weight=True) if rng.random() < 0.4 else None
        out = dense((rows, out_features), dtype)
        if bias is not None and rng.random() < 0.25:  # GPT-2's Conv1D: the weight is stored the other way round
            weight = dense((in_features, out_features), dtype, weight=True)
            yield Call("aten.addmm.default", (bias, x, weight), (), (out,)), mode
        else:
            args = (x, weight) if bias is None else (x, weight, bias)
            yield Call("aten.linear.default", args, (), (out,)), mode


def _uneven_linears(shares: dict[str, int], rng: random.Random) -> Iterator[Drawn]:
    """Linear layers with the widths of vocabularies, experts and odd heads: other alignments, other kernels."""
    return _linears(shares, rng, (1, 2, 8, 8, 16, 32, 64))


def _products(shares: dict[str, int], rng: random.Random) -> Iterator[Drawn]:
    """Batched products of two activations: scores and their weighted sums where attention is written out."""
    while True:
        mode, dtype = draw_mode(shares, rng)
        batch, q_len, kv_len = draw(rng, 4, 1024), draw(rng, 16, 2048, 8), draw(rng, 16, 2048, 8)
        head_size = rng.choice(_HEAD_SIZES)
        if 2 * batch * q_len * kv_len * head_size > _LARGEST_FLOP[mode] / 4 or batch * q_len * kv_len > 1e9:
            continue
        if rng.random() < 0.5:  # scores: q times the transposed k
            a, b = dense((batch, q_len, head_size), dtype), dense((batch, kv_len, head_size), dtype, order=(0, 2, 1))
        else:
            a, b = dense((batch, q_len, kv_len), dtype), dense((batch, kv_len, head_size), dtype)
        out = dense((batch, q_len, b.shape[2]), dtype)
        yield Call(rng.choice(("aten.bmm.default", "aten.matmul.default")), (a, b), (), (out,)), mode


def _attention(shares: dict[str, int], rng: random.Random) -> Iterator[Drawn]:
    """Self-attention of a prefill: causal or not, grouped heads, at times with a boolean or an additive mask."""
    while True:
        mode, dtype = draw_mode(shares, rng)
        heads, head_size, kv_heads = _draw_heads(rng)
        batch, seq_len = draw(rng, 1, 64), draw(rng, 16, 8192)
        if rng.random() < 0.5:
            seq_len = draw(rng, 16, 8192, 16)
        if 4 * batch * heads * seq_len * seq_len * head_size > _LARGEST_FLOP[mode] / (4 if mode == "tf32" else 1):
            continue
        q, k = (dense((batch, seq_len, h, head_size), dtype, order=(0, 2, 1, 3)) for h in (heads, kv_heads))
        mask, causal = None, rng.random() < 0.6
        if rng.random() < 0.25 and batch * heads * seq_len * seq_len < 4e8:
            kind = rng.choice(("bool", "additive", "bias"))
            mask = dense((batch if kind != "bias" else 1, heads if kind == "bias" else 1, seq_len, seq_len),
                         "bool" if kind == "bool" else dtype)  # fmt: skip
            causal = False
        yield _attend(q, k, mask, causal, heads != kv_heads), mode


def _decoding(shares: dict[str, int], rng: random.Random) -> Iterator[Drawn]:
    """Attention of one query position over a long key-value cache."""
    while True:
        mode, dtype = draw_mode(shares, rng)
        heads, head_size, kv_heads = _draw_heads(rng)
        batch, kv_len = draw(rng, 1, 128), draw(rng, 16, 32768)
        if batch * kv_heads * kv_len * head_size > 1e9:
            continue
        q, k = dense((batch, heads, 1, head_size), dtype), dense((batch, kv_heads, kv_len, head_size), dtype)
        yield _attend(q, k, None, False, heads != kv_heads), mode


def _grouped_convolutions(shares: dict[str, int], rng: random.Random) -> Iterator[Drawn]:
    """Convolutions along time in groups of channels, which stand for positions in models of sound: wide and padded."""
    while True:
        mode, dtype = draw_mode(shares, rng)
        groups = rng.choice((4, 8, 16, 16, 16, 32))
        channels = rng.choice((512, 768, 768, 1024, 1024, 1280, draw(rng, 256, 2560, 8 * groups)))
        taps = rng.choice((128, 128, draw(rng, 8, 128, 2)))
        batch, steps = draw(rng, 1, 64), draw(rng, 24, 1500)
        if 2 * batch * steps * channels * channels // groups * taps > _LARGEST_FLOP[mode] / 16:
            continue
        x = dense((batch, steps, channels), dtype, order=(0, 2, 1))
        weight = dense((channels, channels // groups, taps), dtype)  # made anew from its norm in every call
        bias = dense((channels,), dtype, weight=True)
        padding = taps // 2
        made = steps + 2 * padding - taps + 1
        out = dense((batch, made, channels), dtype, order=(0, 2, 1))
        yield Call("aten.conv1d.default", (x, weight, bias, (1,), (padding,), (1,), groups), (), (out,)), mode


_SORTS: dict[str, Callable[[dict[str, int], random.Random], Iterator[Drawn]]] = {
    "linear": _linears, "uneven": _uneven_linears, "product": _products, "attention": _attention, "decoding": _decoding,
    "convolution": _grouped_convolutions,
}  # fmt: skip


def _draw_heads(rng: random.Random) -> tuple[int, int, int]:
    """(heads, head size, key-value heads)."""
    heads, head_size = rng.choice(_HEADS), rng.choice(_HEAD_SIZES)
    kv_heads = rng.choice((heads, heads, max(1, heads // 4), max(1, heads // 8)))
    return heads, head_size, kv_heads if heads % kv_heads == 0 else heads


def _attend(q: TensorSpec, k: TensorSpec, mask: TensorSpec | None, causal: bool, grouped: bool) -> Call:
    kwargs = (("scale", None), ("enable_gqa", grouped))
    batch, heads, q_len, head_size = q.shape
    # Fused kernels write the heads of a position side by side.
    out = dense((batch, q_len, heads, head_size), q.dtype, order=(0, 2, 1, 3))
    return Call("aten.scaled_dot_product_attention.default", (q, k, k, mask, 0.0, causal), kwargs, (out,))
