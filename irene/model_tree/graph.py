"""A tree as numpy arrays (`FlatTree`, with the one recursion) and as a networkx graph.

Aggregating energy up a tree of ten thousand calls in Python loops would cost more than the prediction itself, so sums
over subtrees are vectorised here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irene.arrays import BoolArray, FloatArray, IntArray
from irene.model_tree.tree import ModelTree, Node

if TYPE_CHECKING:
    import networkx


@dataclass(frozen=True, eq=False)
class FlatTree:
    """The nodes of a tree in walk order (parents first, children in call order), as arrays of length `len(nodes)`.

    `parent` is the index of the parent (-1 for the root); `depth` is 0 for the root; `kind` is 'model', 'module' or
    'primitive'; `is_leaf` marks primitives. The subtree of node `i` is the slice `i : subtree_end[i]`, and its leaves
    are `leaf_start[i] : leaf_end[i]` of `leaf_index`, the indices of all leaves.
    """

    nodes: tuple[Node, ...]
    parent: IntArray
    depth: IntArray
    kind: NDArray[np.str_]
    is_leaf: BoolArray
    subtree_end: IntArray
    leaf_index: IntArray
    leaf_start: IntArray
    leaf_end: IntArray

    def __len__(self) -> int:
        return len(self.nodes)

    def sum_up(self, leaf_values: FloatArray) -> FloatArray:
        """Sum of the leaves at or below each node: shape (leaves, ...) in call order -> (nodes, ...).

        A module that called no primitive gets 0.

        >>> leaf, module = Node("primitive", "a", "view"), Node("module", "a", "Linear")
        >>> flat = flatten(ModelTree(Node("model", "", "Net", (module, leaf, leaf)), "net", None))
        >>> flat.sum_up(np.array([1.0, 2.0])).tolist()
        [3.0, 0.0, 1.0, 2.0]
        """
        values = np.asarray(leaf_values, dtype=np.float64)
        if values.shape[:1] != self.leaf_index.shape:
            raise ValueError(f"sum_up expects one value for each of {len(self.leaf_index)} leaves, got {values.shape}.")
        # Each node sums its own slice: differences of one running sum would leave rounding of the whole model's size
        # in the smallest node. The appended zero lets the last slice end where the array ends.
        padded = np.concatenate([values, np.zeros((1, *values.shape[1:]))])
        bounds = np.stack([self.leaf_start, self.leaf_end], axis=1).ravel()
        sums: FloatArray = np.add.reduceat(padded, bounds, axis=0)[::2]
        sums[self.leaf_start == self.leaf_end] = 0.0  # reduceat gives an empty slice its first element
        return sums


def flatten(tree: ModelTree | Node) -> FlatTree:
    """The arrays of a tree, in one walk."""
    root = tree.root if isinstance(tree, ModelTree) else tree
    nodes: list[Node] = []
    parent: list[int] = []
    depth: list[int] = []
    stack = [(root, -1, 0)]
    while stack:
        node, above, level = stack.pop()
        index = len(nodes)
        nodes.append(node)
        parent.append(above)
        depth.append(level)
        if node.children:
            below = level + 1
            stack += [(child, index, below) for child in reversed(node.children)]

    subtree_end = list(range(1, len(nodes) + 1))
    for index in range(len(nodes) - 1, 0, -1):  # children come after parents, so backwards each end is final
        above = parent[index]
        subtree_end[above] = max(subtree_end[above], subtree_end[index])

    is_leaf = np.array([node.kind == "primitive" for node in nodes], dtype=np.bool_)
    leaves_before = np.concatenate([[0], np.cumsum(is_leaf)]).astype(np.int64)
    ends = np.array(subtree_end, dtype=np.int64)
    return FlatTree(
        nodes=tuple(nodes),
        parent=np.array(parent, dtype=np.int64),
        depth=np.array(depth, dtype=np.int64),
        kind=np.array([node.kind for node in nodes]),
        is_leaf=is_leaf,
        subtree_end=ends,
        leaf_index=np.flatnonzero(is_leaf),
        leaf_start=leaves_before[:-1],
        leaf_end=leaves_before[ends],
    )


def to_networkx(tree: ModelTree) -> networkx.DiGraph[int]:
    """A directed graph, parent to child; a graph node is the index in walk order, with the fields of `Node`."""
    import networkx  # here, not above: most users of trees need no graph, and it costs 0.1 s

    flat = flatten(tree)
    graph: networkx.DiGraph[int] = networkx.DiGraph(model=tree.model, workload=tree.workload)
    for index, node in enumerate(flat.nodes):
        attributes: dict[str, Any] = {
            "kind": node.kind, "path": node.path, "name": node.name, "type": node.type, "call": node.call,
            "call_index": node.call_index, "parameters": node.parameters,
        }  # fmt: skip
        graph.add_node(index, **attributes)
        if index:
            graph.add_edge(int(flat.parent[index]), index)
    return graph
