"""The site of a primitive: the place in a model it comes from, whatever the batch or the sequence.

Rows of one site are near-copies of each other, so a judgement of primitives holds whole sites out.
"""

from __future__ import annotations

import math
from typing import TypeAlias

from irene.primitives.call import Call
from irene.primitives.packed_products import PACKED_PRODUCTS, packed_sizes

Site: TypeAlias = tuple[str | int, ...]

# Where a product's weight (..., K, N) stands among the tensor operands. Everything else is found by name below.
_PRODUCTS = {
    "mm": 1, "bmm": 1, "matmul": 1, "_grouped_mm": 1, "_scaled_mm": 1, "_int_mm": 1, "addmm": 2, "baddbmm": 2,
    "addbmm": 2,
}  # fmt: skip
_TRANSPOSED = {"linear", "conv1d", "conv2d", "conv3d", "convolution", "_convolution"}  # weight is (N, K...)


def site_of_call(call: Call) -> Site:
    """The site of a call, by its kind.

    Products: ("product", N, K, dtype). Attention: ("attention", heads, key-value heads, head size, dtype). The rest:
    (op, width), the width being the last dimension of the output.
    """
    tensors = call.tensors
    if "attention" in call.name and len(tensors) >= 2 and min(len(t.shape) for t in tensors[:2]) >= 3:
        query, key = tensors[0], tensors[1]
        return ("attention", query.shape[-3], key.shape[-3], query.shape[-1], query.dtype)
    if call.name in _TRANSPOSED and len(tensors) >= 2 and tensors[1].shape:
        weight = tensors[1]
        return ("product", weight.shape[0], math.prod(weight.shape[1:]), weight.dtype)
    if call.name in PACKED_PRODUCTS:
        size = packed_sizes(call)
        return ("product", size.n, size.k, call.name)
    place = _PRODUCTS.get(call.name)
    if place is not None and len(tensors) > place and tensors[place].shape:
        weight = tensors[place]
        columns, depth = (weight.shape[-1], weight.shape[-2]) if len(weight.shape) > 1 else (1, weight.shape[-1])
        return ("product", columns, depth, weight.dtype)
    shapes = [t.shape for t in (*call.outputs, *tensors)]
    return (call.name, shapes[0][-1] if shapes and shapes[0] else 1)
