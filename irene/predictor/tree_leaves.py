"""The distinct leaves of a tree as a table: a model of 10,000 calls has some fifty that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from irene.arrays import BoolArray, FloatArray, IntArray
from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_table import LeafTable, effective_dtype, make_table
from irene.model_tree.graph import FlatTree, flatten
from irene.model_tree.tree import ModelTree
from irene.passes.counted import Pass
from irene.predictor.reuse import WeightUses, find_cold, find_uses
from irene.primitives.call import Call
from irene.primitives.read_backs import reads_back
from irene.primitives.work import count_work


@dataclass(frozen=True, eq=False)
class TreeLeaves:
    """The distinct leaves of a tree as a table, and for each leaf of the tree its row in it, in call order."""

    flat: FlatTree
    table: LeafTable
    row_of_leaf: IntArray

    @property
    def counts(self) -> FloatArray:
        """How often each row of the table occurs in the tree."""
        return np.bincount(self.row_of_leaf, minlength=len(self.table.calls)).astype(np.float64)

    @cached_property
    def reads_back(self) -> BoolArray:
        """Which leaves the host waits for: it reads a value of theirs."""
        return np.array([reads_back(call) for call in self.table.calls], dtype=np.bool_)[self.row_of_leaf]


@dataclass(frozen=True, slots=True, eq=False)
class _Outline:
    """What passes of one tree share, whatever sizes their calls have."""

    flat: FlatTree
    calls: tuple[Call, ...]
    call_of_leaf: IntArray
    uses: WeightUses


def tabulate_leaves(tree: ModelTree, spec: DeviceSpec) -> TreeLeaves:
    """Find the distinct leaves: the same call with its weights hot or cold."""
    return _tabulate(_outline(tree), None, tree.workload.dtype, spec)


def tabulate_passes(passes: Sequence[Pass], spec: DeviceSpec) -> list[TreeLeaves]:
    """As `tabulate_leaves`, for passes some of which may be of one tree."""
    outlines: dict[int, _Outline] = {}
    found = []
    for each in passes:
        outline = outlines.get(id(each.tree.root))
        if outline is None:
            outline = outlines[id(each.tree.root)] = _outline(each.tree)
        found.append(_tabulate(outline, each.becomes, each.tree.workload.dtype, spec))
    return found


def _outline(tree: ModelTree) -> _Outline:
    flat = flatten(tree)
    number_of: dict[Call, int] = {}
    known: dict[int, int] = {}  # equal calls of a trace are mostly one object, and comparing them is slow
    at = []
    for index in flat.leaf_index:
        call = flat.nodes[index].call
        assert call is not None
        number = known.get(id(call))
        if number is None:
            number = known[id(call)] = number_of.setdefault(call, len(number_of))
        at.append(number)
    return _Outline(flat, tuple(number_of), np.array(at, dtype=np.int64), find_uses(flat))


def _tabulate(outline: _Outline, becomes: Mapping[Call, Call] | None, dtype: str, spec: DeviceSpec) -> TreeLeaves:
    calls = outline.calls if becomes is None else tuple([becomes[call] for call in outline.calls])
    works = [count_work(call) for call in calls]
    traffic_bytes, weight_bytes = (
        np.array([getattr(work, name) for work in works], dtype=np.float64)[outline.call_of_leaf]
        for name in ("traffic_bytes", "weight_bytes")
    )
    cold = find_cold(outline.uses, traffic_bytes, weight_bytes, spec.l2_bytes)
    keys, first, row_of_leaf = np.unique(2 * outline.call_of_leaf + cold, return_index=True, return_inverse=True)
    order = np.argsort(first)  # rows in the order in which they are first met
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    rows = keys[order].tolist()
    distinct = [calls[key // 2] for key in rows]
    dtypes = [effective_dtype(call, dtype) for call in distinct]
    table = make_table(distinct, dtypes, [bool(key % 2) for key in rows], spec)
    return TreeLeaves(outline.flat, table, place[row_of_leaf.ravel()])
