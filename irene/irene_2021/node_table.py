"""All nodes of many trees as arrays, so that nothing later has to walk a tree.

Rows are in the order of `MeasuredTree.walk`: tree after tree, a parent before its children.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from irene.arrays import BoolArray, FloatArray, IntArray
from irene.irene_2021.checks import KINDS, NODE_FEATURES
from irene.irene_2021.tree_files import MeasuredTree

Floats = FloatArray
Integers = IntArray
Texts = NDArray[np.str_]


@dataclass(frozen=True, eq=False)
class NodeTable:
    """n nodes of some trees.

    `tree` is the index into `model_names` and `sources`; `parent` is a row (-1 at roots), always before its children.
    `kind` is 'ml', 'module' or 'model' (a childless module counts as 'ml'), `operation` the class name in lower case.
    `values[:, j]` is the feature NODE_FEATURES[j], in the units of the files. Energies are J, NaN where absent.
    """

    model_names: Texts
    sources: Texts
    batch_size: Floats
    seq_len: Floats
    tree: Integers
    parent: Integers
    depth: Integers
    kind: Texts
    operation: Texts
    scope: Texts
    values: Floats
    energy_j: Floats

    def __len__(self) -> int:
        return len(self.tree)

    @cached_property
    def is_leaf(self) -> BoolArray:
        leaf = np.ones(len(self), dtype=bool)
        leaf[self.parent[self.parent >= 0]] = False
        return leaf

    def feature(self, name: str) -> Floats:
        """One value a node, in the units of the files; also 'batch_size', 'seq_len', 'input_size' (their product)."""
        if name == "batch_size":
            return self.batch_size[self.tree]
        if name == "seq_len":
            return self.seq_len[self.tree]
        if name == "input_size":
            return (self.batch_size * self.seq_len)[self.tree]
        column: Floats = self.values[:, NODE_FEATURES.index(name)]
        return column

    def select_trees(self, chosen: BoolArray) -> NodeTable:
        """The table of the trees where `chosen` (one flag a tree) is true."""
        rows = chosen[self.tree]
        new_row, new_tree = np.cumsum(rows) - 1, np.cumsum(chosen) - 1
        parent = self.parent[rows]
        return NodeTable(
            self.model_names[chosen], self.sources[chosen], self.batch_size[chosen], self.seq_len[chosen],
            new_tree[self.tree[rows]], np.where(parent < 0, -1, new_row[parent]), self.depth[rows], self.kind[rows],
            self.operation[rows], self.scope[rows], self.values[rows], self.energy_j[rows],
        )  # fmt: skip

    def sum_children(self, of_nodes: Floats) -> Floats:
        """For each node the sum of `of_nodes` over its children; 0 at leaves. Shape (n,) or (n, m)."""
        total = np.zeros_like(of_nodes)
        child = self.parent >= 0
        np.add.at(total, self.parent[child], of_nodes[child])
        return total


def tabulate_nodes(trees: Sequence[MeasuredTree]) -> NodeTable:
    """Flatten trees as `load_trees` gives them; a feature that it was told not to ask for is NaN."""
    tree_index: list[int] = []
    parents: list[int] = []
    depths: list[int] = []
    kinds: list[str] = []
    operations: list[str] = []
    scopes: list[str] = []
    values: list[list[float]] = []
    energies: list[float] = []
    nan = float("nan")
    for index, tree in enumerate(trees):
        waiting = [(tree.root, -1, 0)]
        while waiting:
            node, parent, depth = waiting.pop()
            row = len(parents)
            children = node["child_nodes_obj"]
            tree_index.append(index)
            parents.append(parent)
            depths.append(depth)
            # tiny-ctrl's ReLU has type 'module' and no children: what has no parts is a primitive.
            kinds.append(KINDS[node["type"]] if children or node["type"] == "model" else "ml")
            operations.append(node["instance_type"].lower())  # the files mix MatMul and matmul
            scopes.append(node["scope"])
            values.append([node.get(name, nan) for name in NODE_FEATURES])
            energies.append(node.get("ground_truth_energy", nan))
            waiting += [(child, row, depth + 1) for child in reversed(children)]
    return NodeTable(
        np.array([tree.model_name for tree in trees], dtype=np.str_),
        np.array([tree.source for tree in trees], dtype=np.str_),
        np.array([tree.record["batch_size"] for tree in trees], dtype=np.float64),
        np.array([tree.record["seq_len"] for tree in trees], dtype=np.float64),
        np.array(tree_index, dtype=np.int64),
        np.array(parents, dtype=np.int64),
        np.array(depths, dtype=np.int64),
        np.array(kinds, dtype=np.str_),
        np.array(operations, dtype=np.str_),
        np.array(scopes, dtype=np.str_),
        np.array(values, dtype=np.float64).reshape(-1, len(NODE_FEATURES)),
        np.array(energies, dtype=np.float64),
    )
