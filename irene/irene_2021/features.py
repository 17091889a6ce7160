"""Features of nodes as matrices: chosen by name, standardised, expanded to a cubic polynomial."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import combinations_with_replacement

import numpy as np

from irene.arrays import IntArray
from irene.irene_2021.node_table import Floats, NodeTable


def feature_matrix(table: NodeTable, names: tuple[str, ...]) -> Floats:
    """Shape (nodes, names), in the units of the files."""
    return np.column_stack([table.feature(name) for name in names])


def distinct_rows(matrix: Floats) -> tuple[IntArray, IntArray]:
    """(a row of `matrix` for each distinct row, which of them each row is).

    Twelve equal layers were measured once and copied: only a sixth of all rows differ.
    """
    whole = np.ascontiguousarray(matrix).view(np.dtype((np.void, matrix.itemsize * matrix.shape[1]))).ravel()
    _, first, which = np.unique(whole, return_index=True, return_inverse=True)
    return first, which.ravel()


@dataclass(frozen=True, slots=True, eq=False)
class Scaling:
    """Subtract `mean`, divide by `deviation`; both of shape (features,)."""

    mean: Floats
    deviation: Floats

    def apply(self, matrix: Floats) -> Floats:
        scaled: Floats = (matrix - self.mean) / self.deviation
        return scaled


def fit_scaling(matrix: Floats) -> Scaling:
    """Mean and standard deviation (1 for a constant column, whose computed deviation is rounding error)."""
    deviation = matrix.std(axis=0)
    constant = np.ptp(matrix, axis=0) == 0
    return Scaling(matrix.mean(axis=0), np.where(constant | (deviation == 0), 1.0, deviation))


def no_scaling(columns: int) -> Scaling:
    """The scaling that leaves columns as they are."""
    return Scaling(np.zeros(columns), np.ones(columns))


def expand_cubic(matrix: Floats) -> Floats:
    """All products of up to three columns, and a constant: shape (rows, C(columns + 3, 3)).

    >>> expand_cubic(np.array([[2.0, 3.0]])).tolist()
    [[1.0, 2.0, 3.0, 4.0, 6.0, 9.0, 8.0, 12.0, 18.0, 27.0]]
    """
    first, second, third = _products(matrix.shape[1])
    padded = np.column_stack([np.ones(len(matrix)), matrix])
    return padded[:, first] * padded[:, second] * padded[:, third]


@cache
def _products(columns: int) -> tuple[IntArray, IntArray, IntArray]:
    """Column numbers to multiply; 0 is the constant. In order of degree, then of columns, as scikit-learn's."""
    rows = [
        (0,) * (3 - degree) + chosen
        for degree in range(4)
        for chosen in combinations_with_replacement(range(1, columns + 1), degree)
    ]
    first, second, third = np.array(rows, dtype=np.int64).T
    return first, second, third
