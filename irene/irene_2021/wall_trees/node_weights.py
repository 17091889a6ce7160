"""Learned weights near one on inner nodes, 1 + tanh(w . x) / tau: what a whole needs beyond the sum of its parts."""

from __future__ import annotations

import numpy as np

from irene.irene_2021.features import distinct_rows
from irene.irene_2021.node_table import Floats, NodeTable

WEIGHT_FEATURES = ("constant", "size", "has leaves", "size, has leaves", "is attention")
"""What a weight may depend on; size is log2 of tokens, centred on 2,048."""
_TAU = 10.0
_SHRINKAGE = 10.0


def weigh_nodes(table: NodeTable, coefficients: Floats) -> Floats:
    """The weight of every node, shape (nodes,); 1 for coefficients of 0."""
    weight: Floats = 1.0 + np.tanh(_weight_features(table) @ coefficients) / _TAU
    return weight


def fit_weights(table: NodeTable, sums_j: Floats) -> Floats:
    """Coefficients by ridge regression on what each measured inner node is times `sums_j`, the sum of its parts."""
    inner = np.flatnonzero(~table.is_leaf)
    ratio = table.energy_j[inner] / sums_j[inner]
    target = np.arctanh(np.clip(_TAU * (ratio - 1.0), -0.95, 0.95))
    features = _weight_features(table)[inner]
    first, _ = distinct_rows(np.column_stack([features, target]))  # copied layers count once
    gram = features[first].T @ features[first] + _SHRINKAGE * np.eye(features.shape[1])
    return np.asarray(np.linalg.solve(gram, features[first].T @ target[first]), dtype=np.float64)


def _weight_features(table: NodeTable) -> Floats:
    size = np.log2(table.feature("input_size")) - 11.0
    leaves = (table.sum_children(table.is_leaf.astype(np.float64)) > 0).astype(np.float64)
    attention = (table.sum_children((table.operation == "softmax").astype(np.float64)) > 0).astype(np.float64)
    return np.column_stack([np.ones(len(table)), size, leaves, size * leaves, attention])
