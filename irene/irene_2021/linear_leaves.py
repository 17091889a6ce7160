"""Energy of the primitives: one linear regression on standardised features for each operation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irene.arrays import IntArray
from irene.errors import BadInput
from irene.irene_2021.features import Scaling, fit_scaling
from irene.irene_2021.node_table import Floats, NodeTable, Texts


@dataclass(frozen=True, slots=True, eq=False)
class LinearLeaf:
    """energy = intercept + coefficients . scaled features."""

    scaling: Scaling
    coefficients: Floats
    intercept_j: float

    def predict(self, matrix: Floats) -> Floats:
        energy_j: Floats = self.scaling.apply(matrix) @ self.coefficients + self.intercept_j
        return energy_j


def fit_leaves(matrix: Floats, operations: Texts, energy_j: Floats) -> dict[str, LinearLeaf]:
    """Ordinary least squares, operation by operation; the shortest solution where features are collinear."""
    fitted = {}
    for operation in sorted(set(operations.tolist())):
        rows = operations == operation
        scaling = fit_scaling(matrix[rows])
        mean_j = float(energy_j[rows].mean())
        solution = np.linalg.lstsq(scaling.apply(matrix[rows]), energy_j[rows] - mean_j, rcond=None)[0]
        fitted[operation] = LinearLeaf(scaling, solution, mean_j)
    return fitted


def predict_leaves(fitted: dict[str, LinearLeaf], matrix: Floats, table: NodeTable, leaves: IntArray) -> Floats:
    """Joules of each leaf; `matrix` has a row for each of `leaves`, which are rows of `table`.

    Raises `BadInput` for an operation that training never saw, naming where it stands.
    """
    operations = table.operation[leaves]
    energy_j = np.empty(len(leaves))
    for operation in dict.fromkeys(operations.tolist()):
        rows = operations == operation
        if operation not in fitted:
            leaf = leaves[rows][0]
            raise BadInput(
                f"{table.sources[table.tree[leaf]]}, node {str(table.scope[leaf])!r}: no {operation!r} was trained on; "
                f"known: {', '.join(fitted)}. Train on trees that have it, or pass stand_ins to Irene2021."
            )
        energy_j[rows] = fitted[operation].predict(matrix[rows])
    return energy_j
