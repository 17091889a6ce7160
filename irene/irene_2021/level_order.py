"""Sums up trees and gradients down trees, level by level over arrays: a tree is never walked node by node."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irene.arrays import BoolArray
from irene.irene_2021.node_table import Floats, Integers, NodeTable


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """Nodes of one depth below the roots: positions `start` to `stop`, each family of siblings contiguous.

    `families` is where each family begins, counted from `start`; `parents` are the families' parents' positions.
    """

    start: int
    stop: int
    families: Integers
    parents: Integers


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """Some trees in level order: `rows[p]` is the table's row at position p, `parent[p]` the parent's position."""

    rows: Integers
    parent: Integers
    is_leaf: BoolArray
    levels: tuple[Level, ...]

    def sum_up(self, weight: Floats, own_j: Floats) -> Floats:
        """Energies of all nodes: each is its own joules plus the weighted sum of its children.

        `weight[p]` multiplies node p in its parent. A new array is returned.
        """
        total = own_j.copy()
        for level in reversed(self.levels):
            part = weight[level.start : level.stop] * total[level.start : level.stop]
            total[level.parents] += np.add.reduceat(part, level.families)
        return total

    def sum_children(self, of_nodes: Floats) -> Floats:
        """For each node the sum of `of_nodes` over its children; 0 at leaves."""
        total = np.zeros_like(of_nodes)
        for level in self.levels:
            total[level.parents] = np.add.reduceat(of_nodes[level.start : level.stop], level.families)
        return total

    def spread_down(self, weight: Floats, gradient: Floats) -> Floats:
        """The transpose of `sum_up`: what one more joule at each node adds to a loss, through all nodes above it.

        `gradient[p]` is the derivative of the loss by the energy of node p itself.
        """
        total = gradient.copy()
        for level in self.levels:
            here = slice(level.start, level.stop)
            total[here] += weight[here] * total[self.parent[here]]
        return total


def plant_forest(table: NodeTable, rows: Integers | None = None) -> Forest:
    """Level order of all trees, or of the whole trees that are made of `rows` (ascending)."""
    rows = np.arange(len(table)) if rows is None else rows
    depth = table.depth[rows]
    # Rows are in the order of a walk, so that siblings stay together when only one depth is looked at.
    order = np.argsort(depth, kind="stable")
    bounds = np.searchsorted(depth[order], np.arange(depth.max() + 2))
    ordered = rows[order]
    position = np.full(len(table), -1, dtype=np.int64)
    position[ordered] = np.arange(len(rows))
    parent = np.where(table.parent[ordered] < 0, -1, position[table.parent[ordered]])
    levels = []
    for start, stop in zip(bounds[1:-1].tolist(), bounds[2:].tolist(), strict=True):
        parents, families = np.unique(parent[start:stop], return_index=True)
        levels.append(Level(start, stop, families.astype(np.int64), parents))
    return Forest(ordered, parent, table.is_leaf[ordered], tuple(levels))
