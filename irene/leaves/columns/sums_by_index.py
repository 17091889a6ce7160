"""What decides the time of sums by index, as columns for their time regressor: additions, and how many share a place.

Additions into one place wait for one another, the more the fewer places there are; in 16 bits more than in 32.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from irene.arrays import FloatArray
from irene.hardware.spec import DeviceSpec
from irene.primitives.call import DTYPE_BYTES, Call
from irene.primitives.shapes import compute_dtype
from irene.primitives.work import count_work

_OPERATORS = ("index_add", "scatter_add", "scatter_reduce", "segment_reduce", "embedding_bag")
SUMS_BY_INDEX = (
    *(f"is_{name}" for name in _OPERATORS), *(f"is_{name}_in_16_bits" for name in _OPERATORS), "log2_additions",
    "log2_places", "log2_additions_a_place", "log2_additions_rate",
    "log2_places_rate", "log2_rows_rate",
)  # fmt: skip


def sums_by_index(calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec) -> FloatArray:
    """Columns as named in SUMS_BY_INDEX, shape (calls, columns); a place is an element of the output."""
    rows = [_row(call, base) for call, base in zip(calls, base_s, strict=True)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(SUMS_BY_INDEX))


def _row(call: Call, base_s: float) -> tuple[float, ...]:
    out = call.outputs[0] if call.outputs else call.tensors[0]
    additions, places = max(count_work(call).flop, 1), max(out.numel, 1)
    width = max(out.shape[-1], 1) if out.shape else 1
    which = [name in call.name for name in _OPERATORS]
    is_narrow = DTYPE_BYTES[compute_dtype(call)] <= 2
    return (
        *map(float, which), *(float(own and is_narrow) for own in which),
        math.log2(additions), math.log2(places), math.log2(additions / places),
        *(math.log2(max(count, 1) / (base_s * 1e6)) for count in (additions, places, additions / width)),
    )  # fmt: skip
