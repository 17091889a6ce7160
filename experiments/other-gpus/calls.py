"""The calls behind the rows of others' tables: products, batches of them, causal attention, passes over tensors."""

from __future__ import annotations

from irene.primitives import Call, TensorSpec


def tensor(*shape: int, dtype: str, is_weight: bool = False) -> TensorSpec:
    """A contiguous tensor."""
    strides, numel = [], 1
    for size in reversed(shape):
        strides.append(numel)
        numel *= size
    return TensorSpec(shape, tuple(reversed(strides)), dtype, weight=is_weight)


def linear(m: int, n: int, k: int, dtype: str) -> Call:
    """`m` rows of `k` columns times weights of `n` rows of as many."""
    weight = tensor(n, k, dtype=dtype, is_weight=True)
    return Call("aten.linear.default", (tensor(m, k, dtype=dtype), weight), (), (tensor(m, n, dtype=dtype),))


def bmm(b: int, m: int, n: int, k: int, dtype: str) -> Call:
    operands = (tensor(b, m, k, dtype=dtype), tensor(b, k, n, dtype=dtype))
    return Call("aten.bmm.default", operands, (), (tensor(b, m, n, dtype=dtype),))


def causal_attention(batch: int, length: int, heads: int, kv_heads: int, head_size: int) -> Call:
    query = tensor(batch, heads, length, head_size, dtype="bfloat16")
    key = tensor(batch, kv_heads, length, head_size, dtype="bfloat16")
    named = (("enable_gqa", True),) if heads != kv_heads else ()
    operands = (query, key, key, None, 0.0, True)
    return Call("aten.scaled_dot_product_attention.default", operands, named, (query,))


def rows_of(op: str, rows: int, width: int) -> Call | None:
    """A pass over `rows` of `width` float32 values; None for an operation that is not looked at."""
    x, scale = tensor(rows, width, dtype="float32"), tensor(width, dtype="float32", is_weight=True)
    if op in ("add", "mul", "div"):
        return Call(f"aten.{op}.Tensor", (x, x), (), (x,))
    if op in ("relu", "tanh", "gelu"):
        return Call(f"aten.{op}.default", (x,), (), (x,))
    if op == "softmax":
        return Call("aten.softmax.int", (x, -1), (), (x,))
    if op == "ln":
        return Call("aten.layer_norm.default", (x, (width,), scale, scale), (), (x,))
    return None
