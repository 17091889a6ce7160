"""Products whose weight is packed: int8 and int4 weights beside 16-bit activations, and 2:4 sparse weights.

The weight's shape in memory is not (N, K), so the sizes are read from what lies beside it. Sources: torch
`aten/src/ATen/native/native_functions.yaml` and `torch/_meta_registrations.py` for the operators,
`torch/sparse/semi_structured.py` for how modules call them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from irene.errors import BadInput
from irene.primitives.call import Argument, Call, TensorSpec

PACKED_PRODUCTS = frozenset({
    "_weight_int8pack_mm", "_weight_int4pack_mm", "_cslt_sparse_mm", "_sparse_semi_structured_linear",
    "_sparse_semi_structured_mm", "_sparse_semi_structured_addmm",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class PackedSizes:
    """(M, K) by (K, N) as it is carried out: of a 2:4 sparse weight, K is the half that is multiplied."""

    m: int
    n: int
    k: int
    a_k_contiguous: bool = True
    has_bias: bool = False


def packed_sizes(call: Call) -> PackedSizes:
    """Sizes of a call of one of `PACKED_PRODUCTS`. Raises BadInput where an operand is missing.

    Four-bit weights lie eight to an int32, and their scales and zeros (K / group, N, 2) tell N:

    >>> x, w = TensorSpec((4, 256), (256, 1), "bfloat16"), TensorSpec((64, 2, 32, 4), (256, 128, 4, 1), "int32")
    >>> scales = TensorSpec((2, 512, 2), (1024, 2, 1), "bfloat16")
    >>> packed_sizes(Call("aten._weight_int4pack_mm.default", (x, w, 128, scales)))
    PackedSizes(m=4, n=512, k=256, a_k_contiguous=True, has_bias=False)

    A 2:4 sparse weight (N, 9 K / 16) holds half of its values and where they stood; activations come as (K, M):

    >>> w, x = TensorSpec((512, 144), (144, 1), "bfloat16"), TensorSpec((256, 4), (1, 256), "bfloat16")
    >>> packed_sizes(Call("aten._cslt_sparse_mm.default", (w, x)))
    PackedSizes(m=4, n=512, k=128, a_k_contiguous=True, has_bias=False)
    """
    if call.name == "_weight_int8pack_mm":  # (M, K), (N, K), scales
        x = _tensor(call, 0)
        return PackedSizes(math.prod(x.shape[:-1]), _tensor(call, 1).shape[0], x.shape[-1])
    if call.name == "_weight_int4pack_mm":
        x = _tensor(call, 0)
        return PackedSizes(math.prod(x.shape[:-1]), _tensor(call, 3).shape[1], x.shape[-1])
    if call.name == "_cslt_sparse_mm":
        weight, x = _tensor(call, 0), _tensor(call, 1)
        has_bias = isinstance(call.args[2] if len(call.args) > 2 else call.kwarg("bias"), TensorSpec)
        return PackedSizes(x.shape[1], weight.shape[0], x.shape[0] // 2, x.stride[0] == 1, has_bias)
    if call.name == "_sparse_semi_structured_linear":  # (M, K), (N, K / 2), where the halves stood
        x, weight = _tensor(call, 0), _tensor(call, 1)
        has_bias = isinstance(call.kwarg("bias"), TensorSpec)
        return PackedSizes(math.prod(x.shape[:-1]), weight.shape[0], weight.shape[1], has_bias=has_bias)
    first = 1 if call.name == "_sparse_semi_structured_addmm" else 0
    weight, x = _tensor(call, first), _tensor(call, first + 2)  # (N, K / 2), where they stood, (K, M)
    return PackedSizes(x.shape[1], weight.shape[0], weight.shape[1], x.stride[0] == 1, first == 1)


def _tensor(call: Call, index: int) -> TensorSpec:
    value: Argument = call.args[index] if index < len(call.args) else None
    if not isinstance(value, TensorSpec):
        raise BadInput(f"{call.op}: expected a tensor as argument {index}, got {value!r}.")
    return value
