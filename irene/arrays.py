"""The arrays that rooms hand each other, by what is in them; their shapes stand where they are made."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

_SEED = 0


def distinct_rows(rows: NDArray[Any]) -> tuple[IntArray, IntArray]:
    """Which rows of a table of 64-bit numbers differ: where each stands first, and for each row which of those it is.

    `rows[first][of_row]` is `rows` again; `first` ascends. Rows are told apart by a number that is made of each, and
    compared whole.

    >>> first, of_row = distinct_rows(np.array([[3.0, 4.0], [1.0, 2.0], [3.0, 4.0]]))
    >>> first.tolist(), of_row.tolist()
    ([0, 1], [0, 1, 0])
    """
    bits = np.ascontiguousarray(rows).view(np.uint64)
    factors = np.random.default_rng(_SEED).integers(2**63, size=rows.shape[1], dtype=np.uint64) * np.uint64(2)
    # Small numbers have nothing but zeros in their lower half, and a product keeps zeros at the end.
    mixed = ((bits ^ (bits >> np.uint64(32))) * (factors + np.uint64(1))).sum(axis=1, dtype=np.uint64)
    _, first, of_row = np.unique(mixed, return_index=True, return_inverse=True)
    if not np.array_equal(bits[first][of_row], bits):
        _, first, of_row = np.unique(bits, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return first[order].astype(np.int64), place[of_row.ravel()].astype(np.int64)
