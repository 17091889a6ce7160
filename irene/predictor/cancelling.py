"""What errs call by call: of many distinct calls the errors cancel, of one call repeated they stay.

Of depthwise convolutions, norms of images and the like measured passes have next to none: no regime says how wrong a
whole of them is. Where sites are held out, errors of two such calls hardly go together, even of one operator, layout
and length: correlations of 0 to 0.14 (experiments/seldom-calls). So the half-width of a sum is that of one call, times
the root of `TOGETHER` + (1 - `TOGETHER`) x the share of pairs of its joules that are of one call; at least it errs as
passes do.
"""

from __future__ import annotations

import numpy as np

from irene.arrays import FloatArray

TOGETHER = 0.15
"""Correlation of the errors of two distinct calls of one kind."""


def add_sum(
    low_j: FloatArray, high_j: FloatArray, sum_j: FloatArray, squares_j2: FloatArray, own: float, known: FloatArray
) -> None:
    """Widen bounds, in place, by what calls of one kind add that are `sum_j` of them, as sure as passes until now.

    `squares_j2` is the sum over distinct calls of their joules squared; `own` the half-width of one of these calls,
    `known` that of passes. All arrays are of one shape.

    >>> low_j, high_j = np.array([10.0]), np.array([10.0])
    >>> add_sum(low_j, high_j, np.array([10.0]), np.array([100.0]), 0.7, np.zeros(1))  # all of them one call
    >>> (high_j / 10).round(3).tolist(), round(float(np.exp(0.7)), 3)
    ([2.014], 2.014)
    """
    share = np.divide(squares_j2, sum_j**2, out=np.ones_like(sum_j), where=sum_j > 0)
    alike = np.sqrt(TOGETHER + (1.0 - TOGETHER) * np.minimum(share, 1.0))
    width = np.maximum(known, own * alike)
    low_j += sum_j * (np.exp(-width) - np.exp(-known))
    high_j += sum_j * (np.exp(width) - np.exp(known))
