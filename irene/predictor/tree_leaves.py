"""The distinct leaves of a tree as a table: a model of 10,000 calls has some fifty that differ."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_table import LeafTable, effective_dtype, make_table
from irene.model_tree.graph import FlatTree, flatten
from irene.model_tree.tree import ModelTree
from irene.predictor.reuse import find_cold, find_uses
from irene.primitives.call import Call
from irene.primitives.work import count_work


@dataclass(frozen=True, slots=True, eq=False)
class TreeLeaves:
    """The distinct leaves of a tree as a table, and for each leaf of the tree its row in it, in call order."""

    flat: FlatTree
    table: LeafTable
    row_of_leaf: NDArray[np.int64]

    @property
    def counts(self) -> NDArray[np.float64]:
        """How often each row of the table occurs in the tree."""
        return np.bincount(self.row_of_leaf, minlength=len(self.table.calls)).astype(np.float64)


def tabulate_leaves(tree: ModelTree, spec: DeviceSpec) -> TreeLeaves:
    """Find the distinct leaves: the same call with its weights hot or cold."""
    flat = flatten(tree)
    calls = [call for call in (flat.nodes[i].call for i in flat.leaf_index) if call is not None]
    works = {call: count_work(call) for call in set(calls)}
    traffic_bytes = np.array([works[call].traffic_bytes for call in calls], dtype=np.float64)
    weight_bytes = np.array([works[call].weight_bytes for call in calls], dtype=np.float64)
    cold = find_cold(find_uses(flat), traffic_bytes, weight_bytes, spec.l2_bytes)
    rows: dict[tuple[Call, bool], int] = {}
    row_of_leaf = np.zeros(len(calls), dtype=np.int64)
    for index, call in enumerate(calls):
        row_of_leaf[index] = rows.setdefault((call, bool(cold[index])), len(rows))
    distinct = [call for call, _ in rows]
    dtypes = [effective_dtype(call, tree.workload.dtype) for call in distinct]
    return TreeLeaves(flat, make_table(distinct, dtypes, [is_cold for _, is_cold in rows], spec), row_of_leaf)
