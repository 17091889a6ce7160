"""The estimator `irene-2021`: fit on trees whose nodes were measured, predict every node of other trees."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from irene.irene_2021.features import (
    Scaling,
    distinct_rows,
    expand_cubic,
    feature_matrix,
    fit_scaling,
    no_scaling,
)
from irene.irene_2021.level_order import plant_forest
from irene.irene_2021.linear_leaves import LinearLeaf, fit_leaves, predict_leaves
from irene.irene_2021.node_table import Floats, Integers, NodeTable
from irene.irene_2021.settings import Settings
from irene.irene_2021.weights import TrainingTree, aggregate, train_weights, weigh

STAND_INS = {"tanh": "softmax", "relu": "tanh"}
"""For comparisons that must price what they never saw: BERT's pooler held out has the only Tanh, tiny-ctrl a ReLU."""


class Irene2021:
    """IrEne's method. `seed` draws the starting weights: the model level moves by several points with it.

    `stand_ins` names, for an operation that training may never see, the one whose regressor prices it, as
    {"relu": "tanh"}; without one, such a leaf is an error. Learned: `leaves_`, `scaling_`, `theta_`.
    """

    def __init__(
        self, settings: Settings | None = None, seed: int = 0, stand_ins: Mapping[str, str] | None = None
    ) -> None:
        self.settings = settings or Settings()
        self.seed = seed
        self.stand_ins = dict(stand_ins or {})
        self.leaves_: dict[str, LinearLeaf] = {}
        self.scaling_: Scaling = no_scaling(0)
        self.theta_: Floats = np.zeros(1)

    def fit(self, table: NodeTable) -> Irene2021:
        """Fit leaves, then weights, on trees of which every node has a measured energy."""
        matrix = feature_matrix(table, self.settings.features)
        leaves = np.flatnonzero(table.is_leaf)
        self.leaves_ = fit_leaves(matrix[leaves], table.operation[leaves], table.energy_j[leaves])
        scale = self.settings.standardize_features
        self.scaling_ = fit_scaling(matrix) if scale else no_scaling(matrix.shape[1])
        leaf_j = self._leaf_energies(matrix, table, leaves)
        trees = self._training_trees(matrix, table, leaf_j)
        self.theta_ = train_weights(trees, trees[0].expanded.shape[1], self.settings, self.seed)
        return self

    def predict(self, table: NodeTable) -> Floats:
        """Joules of every node, shape (nodes,). Raises `BadInput` for a leaf of an operation that nothing can price."""
        if not self.leaves_:
            raise ValueError("fit this estimator, or load it, before predicting")
        matrix = feature_matrix(table, self.settings.features)
        leaf_j = self._leaf_energies(matrix, table, np.flatnonzero(table.is_leaf))
        first, which = distinct_rows(matrix)
        score = self._expand(matrix[first]) @ self.theta_[:-1] + self.theta_[-1]
        forest = plant_forest(table)
        weight = weigh(score, self.settings)[which][forest.rows]
        energy_j = np.empty(len(table))
        energy_j[forest.rows] = aggregate(forest, weight, leaf_j[forest.rows], self.settings)
        return energy_j

    def _leaf_energies(self, matrix: Floats, table: NodeTable, leaves: Integers) -> Floats:
        """Predicted joules at leaves, 0 at inner nodes."""
        fitted = {**self.leaves_}
        for operation, other in self.stand_ins.items():
            if other in fitted:
                fitted.setdefault(operation, fitted[other])
        leaf_j = np.zeros(len(table))
        leaf_j[leaves] = predict_leaves(fitted, matrix[leaves], table, leaves)
        return leaf_j

    def _expand(self, matrix: Floats) -> Floats:
        scaled = self.scaling_.apply(matrix)
        return expand_cubic(scaled) if self.settings.polynomial_features else scaled

    def _training_trees(self, matrix: Floats, table: NodeTable, leaf_j: Floats) -> list[TrainingTree]:
        starts = np.searchsorted(table.tree, np.arange(len(table.model_names) + 1))
        trees = []
        for start, stop in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            forest = plant_forest(table, np.arange(start, stop))
            own = matrix[forest.rows]
            first, which = distinct_rows(own)
            trees.append(
                TrainingTree(forest, self._expand(own[first]), which, leaf_j[forest.rows], table.energy_j[forest.rows])
            )
        return trees
