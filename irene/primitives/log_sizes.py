"""Sizes as regressors see them: logarithms of arrays of counts, where costs are proportional to sizes."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from irene.arrays import FloatArray, IntArray

_LARGEST_ALIGNMENT = 64


def log2_size(values: ArrayLike) -> FloatArray:
    """log2 of counts; 0 for counts below one.

    >>> log2_size([0, 1, 1024]).tolist()
    [0.0, 0.0, 10.0]
    """
    logs: FloatArray = np.log2(np.maximum(np.asarray(values, dtype=np.float64), 1.0))
    return logs


def log2_align(sizes: IntArray) -> FloatArray:
    """log2 of the largest power of two, at most 64, that divides a size.

    >>> log2_align(np.array([541, 96, 1024])).tolist()
    [0.0, 5.0, 6.0]
    """
    return log2_size(np.gcd(sizes, _LARGEST_ALIGNMENT))
