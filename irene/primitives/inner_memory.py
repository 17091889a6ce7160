"""Bytes that an operator allocates inside itself and frees before it returns, from the shapes of its call.

Births and deaths of tensors show what calls return. Plain attention ("math") is one call to a model, and inside it
writes the scores twice, at twice the width for 16-bit operands: most of the peak of a T5. A softmax in float32 of
bfloat16 scores casts them first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

from irene.primitives.attention import attention_backend, attention_output, attention_shape
from irene.primitives.call import Call, TensorSpec
from irene.primitives.shapes import operand

ALLOCATED_IN_BYTES = 512
"""The CUDA caching allocator rounds every request up to a multiple of it (PyTorch docs, CUDA semantics)."""

_ATTENTION = "aten.scaled_dot_product_attention.default"


def round_up(size_bytes: int) -> int:
    """A request as the allocator serves it.

    >>> round_up(1), round_up(0)
    (512, 0)
    """
    return -(-size_bytes // ALLOCATED_IN_BYTES) * ALLOCATED_IN_BYTES


def bytes_beyond_output(call: Call) -> int:
    """The most that a call has allocated at any time while it runs, over what it returns; 0 for most operators.

    >>> query = TensorSpec((8, 12, 512, 64), (393216, 32768, 64, 1), "bfloat16")
    >>> bias = TensorSpec((1, 12, 512, 512), (12, 1, 6144, 12), "bfloat16")  # T5's until transformers 5.17
    >>> scores_bytes = 8 * 12 * 512 * 512 * 4
    >>> 2.2 < bytes_beyond_output(Call(_ATTENTION, (query, query, query, bias))) / scores_bytes < 2.8
    True
    >>> bytes_beyond_output(Call(_ATTENTION, (query, query, query)))
    0
    """
    inside = _INSIDE.get(call.op)
    return 0 if inside is None else inside(call)


@lru_cache(maxsize=1024)
def _beyond_attention(call: Call) -> int:
    output = math.prod(attention_output(call)) * operand(call, 0, "query").itemsize
    if attention_backend(call) == "math":
        return max(0, plain_attention_bytes(call) - round_up(output))
    return _as_numbers(call)


def plain_attention_bytes(call: Call) -> int:
    """The most that plain attention has allocated, its output included, at the largest of three moments.

    They are the product that makes the scores, their softmax, and the product with the values.

    The order of calls and of deaths is that of `_scaled_dot_product_attention_math` and `_safe_softmax` of torch
    (`aten/src/ATen/native/transformers/attention.cpp`, `SoftMax.cpp`), as its profiler shows them.
    """
    query, key, value = operand(call, 0, "query"), operand(call, 1, "key"), operand(call, 2, "value")
    shape, is_half = attention_shape(call), query.dtype in ("float16", "bfloat16")
    width = 4 if is_half else query.itemsize
    heads = shape.batch * shape.heads
    scores = round_up(heads * shape.q_len * shape.kv_len * width)
    rows = round_up(heads * shape.q_len)
    made = round_up(heads * shape.q_len * shape.value_size * width)

    held = _as_numbers(call) + round_up(query.numel * width)  # the scaled query
    if is_half:  # all three are cast to float32
        held += sum(round_up(tensor.numel * width) for tensor in (query, key, value))
    if shape.is_causal:
        held += round_up(shape.q_len * shape.kv_len * width)
    grouped = bool(call.kwarg("enable_gqa", False)) and shape.heads != shape.kv_heads
    key_bytes, value_bytes = (
        round_up(heads * shape.kv_len * size * width) for size in (shape.head_size, shape.value_size)
    )
    if grouped:
        held += key_bytes + value_bytes
    lead = (shape.batch, shape.heads)
    scaled_key = key_bytes if grouped else round_up(key.numel * width)
    copied = (0 if _folds(query, lead) else round_up(heads * shape.q_len * shape.head_size * width)) + (
        0 if grouped or _folds(key, lead) else key_bytes
    )
    copied_value = 0 if grouped or _folds(value, lead) else value_bytes
    narrow = scores // 2 if is_half else 0  # the weights once more, which nobody reads
    return held + max(
        scaled_key + copied + scores,
        2 * scores + round_up(scores // width) + rows,  # before and after, and which scores are minus infinity
        scores + narrow + made + max(copied_value, made // 2 if is_half else 0),
    )


def _as_numbers(call: Call) -> int:
    """A mask of truth values becomes one of numbers first, whichever kernel follows."""
    mask = call.args[3] if len(call.args) > 3 else call.kwarg("attn_mask")
    if not isinstance(mask, TensorSpec) or mask.dtype != "bool":
        return 0
    return round_up(mask.numel * operand(call, 0, "query").itemsize)


def _folds(tensor: TensorSpec, lead: tuple[int, int]) -> bool:
    """Whether batch and heads are one dimension as they lie in memory: a batched product then copies nothing.

    Casts and scaling keep the order of dimensions in memory, and close gaps.
    """
    if len(tensor.shape) != 4 or tensor.shape[:2] != lead:
        is_one = 1 in lead and len(tensor.shape) <= 4  # what is broadcast along it is no more than repeated
        return is_one or math.prod(tensor.shape[:-2]) == math.prod(lead)
    (batch, heads, length, _), stride = tensor.shape, tensor.stride
    if batch == 1 or heads == 1:
        return True
    return length == 1 or stride[1] >= stride[2]


def _beyond_softmax(call: Call) -> int:
    """The operand, cast to the dtype that is asked for, unless the kernel casts as it reads: float16 to float32.

    Source: torch `aten/src/ATen/native/SoftMax.cpp`, `softmax` and `log_softmax` with a dtype.
    """
    source, made = operand(call, 0, "input"), call.outputs[0]
    if source.dtype in (made.dtype, "float16"):
        return 0
    return round_up(made.bytes)


_INSIDE: dict[str, Callable[[Call], int]] = {
    _ATTENTION: _beyond_attention,
    "aten.softmax.int": _beyond_softmax,
    "aten.log_softmax.int": _beyond_softmax,
}
