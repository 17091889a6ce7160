"""Sums up trees and gradients down them, against a walk node by node and against the transpose."""

from __future__ import annotations

import numpy as np
import pytest

from irene.irene_2021.level_order import plant_forest
from tests.irene_2021.made_trees import random_table, table


@pytest.mark.parametrize("seed", range(8))
def test_sums_are_those_of_a_walk(seed: int) -> None:
    nodes = random_table(seed)
    forest = plant_forest(nodes)
    random = np.random.default_rng(seed)
    weight, own = random.normal(1, 0.1, len(nodes)), random.lognormal(size=len(nodes))
    by_walk = own.copy()
    for row in range(len(nodes) - 1, 0, -1):  # children come after their parents
        by_walk[nodes.parent[row]] += weight[row] * by_walk[row]
    rows = forest.rows
    assert sorted(rows.tolist()) == list(range(len(nodes)))
    assert np.allclose(forest.sum_up(weight[rows], own[rows]), by_walk[rows])
    assert np.allclose(forest.sum_children(own[rows]), nodes.sum_children(own)[rows])


@pytest.mark.parametrize("seed", range(4))
def test_down_is_the_transpose_of_up(seed: int) -> None:
    """Gradient . sum_up(leaves) = leaves . spread_down(gradient), for any gradient and leaves."""
    forest = plant_forest(random_table(seed))
    random = np.random.default_rng(seed)
    weight, energy, gradient = random.normal(1, 0.1, (3, len(forest.rows)))
    assert np.isclose(gradient @ forest.sum_up(weight, energy), energy @ forest.spread_down(weight, gradient))


def test_many_trees_at_once_are_each_tree_alone() -> None:
    nodes = table()
    together = plant_forest(nodes)
    total = np.empty(len(nodes))
    own = nodes.energy_j
    total[together.rows] = together.sum_up(np.ones(len(nodes)), own[together.rows])
    for tree in range(len(nodes.model_names)):
        rows = np.flatnonzero(nodes.tree == tree)
        alone = plant_forest(nodes, rows)
        assert np.allclose(alone.sum_up(np.ones(len(rows)), own[alone.rows]), total[alone.rows])
        assert alone.parent[0] == -1 and alone.rows[0] == rows[0]
