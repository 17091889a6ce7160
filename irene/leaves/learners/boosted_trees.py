"""Boosted regression trees as checked arrays: XGBoost grows them, NumPy asks them, to the bit the same answer.

A small table is answered by NumPy, without XGBoost's half a second of import; a large one by XGBoost, made again from
the arrays, but not in a forked process, where it hangs. Arrays are checked before anything walks them.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irene.arrays import BoolArray, FloatArray, IntArray
from irene.cores import count_cores
from irene.leaves.learners.ubjson import from_ubjson, to_ubjson

if TYPE_CHECKING:
    import xgboost

MOST_TREES = 8192  # of a regressor: twenty times what one has here
MOST_LEVELS = 64  # of a tree: XGBoost's own grow to ten here, and a chain of a million nodes would take for ever
_MOST_VISITS = 500_000  # nodes in one answer: ten milliseconds; beyond, XGBoost is faster in spite of its import
_FEWEST_FOR_THREADS = 5_000  # rows
_VISITS_AT_ONCE = 65_536  # of one level: what stays in the processor's cache
_ROOT_PARENT = 2**31 - 1  # XGBoost's word for none
_IMPORTED_IN = os.getpid()


@dataclass(frozen=True, slots=True, eq=False)
class BoostedTrees:
    """The sum of `base` and one leaf of each tree, in single precision, tree after tree.

    Nodes stand tree after tree, each tree breadth first, so that the children of its split number i are its nodes
    2 i + 1 (where column < threshold) and 2 i + 2. Shapes: `sizes` (trees,) nodes of each tree; `column` (nodes,) what
    a split looks at, -1 in a leaf; `value` (nodes,) a split's threshold or a leaf's answer; `missing_left` (nodes,)
    where a NaN goes. Rows have `columns` numbers.

    Raises ValueError, with the reason, for arrays that are no such trees.
    """

    sizes: NDArray[np.int32]
    column: NDArray[np.int16]
    value: NDArray[np.float32]
    missing_left: BoolArray
    base: float
    columns: int
    _left: NDArray[np.int32] = field(init=False, repr=False)
    _levels: int = field(init=False, repr=False)
    _booster: list[xgboost.Booster] = field(init=False, repr=False, default_factory=list)  # made when first asked

    def __post_init__(self) -> None:
        left = _find_children(self.sizes, self.column, self.value, self.missing_left, self.columns)
        if not np.isfinite(self.base):
            raise ValueError(f"the base of the trees is {self.base}")
        object.__setattr__(self, "_left", left)
        object.__setattr__(self, "_levels", _count_levels(_roots(self.sizes), left, self.column))

    def __getstate__(self) -> tuple[Any, ...]:
        return self.sizes, self.column, self.value, self.missing_left, self.base, self.columns

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        for name, value in zip(("sizes", "column", "value", "missing_left", "base", "columns"), state, strict=True):
            object.__setattr__(self, name, value)
        object.__setattr__(self, "_booster", [])
        self.__post_init__()

    def predict(self, features: NDArray[Any]) -> FloatArray:
        """The answer for each row of `features` (rows, columns), shape (rows,)."""
        if features.ndim != 2 or features.shape[1] != self.columns:
            raise ValueError(f"expected rows of {self.columns} columns, got an array of shape {features.shape}")
        is_large = len(features) * len(self.sizes) * self._levels > _MOST_VISITS
        if is_large and os.getpid() == _IMPORTED_IN:  # in a forked process XGBoost would wait for the parent's threads
            booster = self.as_booster()
            # Threads that wait for each other lose 20 ms a call as soon as another process runs.
            booster.set_param({"nthread": 1 if len(features) < _FEWEST_FOR_THREADS else count_cores()})
            return np.asarray(booster.inplace_predict(features), dtype=np.float64)
        rows = np.ascontiguousarray(features, dtype=np.float32)
        step = max(_VISITS_AT_ONCE // max(len(self.sizes), 1), 1)
        parts = [self._walk(rows[start : start + step]) for start in range(0, len(rows), step)]
        return np.concatenate([np.empty(0, dtype=np.float32), *parts]).astype(np.float64)

    def _walk(self, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        is_known = not np.isnan(rows).any()
        numbers, first = rows.ravel(), np.arange(len(rows), dtype=np.int32)[:, None] * np.int32(self.columns)
        split_on, threshold = np.maximum(self.column, 0), np.where(self.column < 0, np.float32(np.nan), self.value)
        # A leaf compares with NaN, so that it goes right: to the node after its "left", which is itself.
        node = np.broadcast_to(_roots(self.sizes), (len(rows), len(self.sizes)))
        for _ in range(self._levels):
            seen = numbers[first + split_on[node]]
            goes_right = ~(seen < threshold[node])
            if not is_known:
                goes_right &= ~(np.isnan(seen) & self.missing_left[node])
            node = self._left[node] + goes_right
        start = np.full((1, len(rows)), self.base, dtype=np.float32)
        # Accumulated, not summed: a sum would add pairs first, and round otherwise than XGBoost.
        total: NDArray[np.float32] = np.add.accumulate(np.concatenate([start, self.value[node].T]), axis=0)[-1]
        return total

    def as_booster(self) -> xgboost.Booster:
        """The same trees in XGBoost, which answers with as many threads as there are."""
        if not self._booster:
            import xgboost

            booster = xgboost.Booster()
            booster.load_model(bytearray(to_ubjson(_as_xgboost(self))))
            self._booster.append(booster)
        return self._booster[0]


def trees_of(booster: xgboost.Booster) -> BoostedTrees:
    """A fitted booster of numeric columns and one answer as arrays. Raises ValueError for another kind."""
    learner = from_ubjson(bytes(booster.save_raw("ubj")))["learner"]
    trees = learner["gradient_booster"]["model"]["trees"]
    parts = [_breadth_first(tree) for tree in trees]
    column, value, missing_left = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    (base,) = json.loads(learner["learner_model_param"]["base_score"].replace("E", "e"))
    return BoostedTrees(
        np.array([len(own) for own, _, _ in parts], dtype=np.int32), column, value, missing_left,
        float(np.float32(base)),
        int(learner["learner_model_param"]["num_feature"]),
    )  # fmt: skip


def _breadth_first(tree: dict[str, Any]) -> tuple[NDArray[np.int16], NDArray[np.float32], BoolArray]:
    left, right = tree["left_children"], tree["right_children"]
    order = level = np.zeros(1, dtype=np.int64)
    while len(level := level[left[level] >= 0]):
        level = np.column_stack([left[level], right[level]]).ravel()
        order = np.concatenate([order, level])
    column = np.where(left < 0, -1, tree["split_indices"])[order].astype(np.int16)
    return column, tree["split_conditions"][order], tree["default_left"][order].astype(np.bool_) & (column >= 0)


def _roots(sizes: NDArray[np.int32]) -> NDArray[np.int32]:
    return (np.cumsum(sizes) - sizes).astype(np.int32)


def _find_children(
    sizes: NDArray[Any], column: NDArray[Any], value: NDArray[Any], missing_left: NDArray[Any], columns: int
) -> NDArray[np.int32]:
    """The left child of every split; of a leaf the node before it. Raises ValueError if the arrays are no trees."""
    types = ((sizes, np.int32), (column, np.int16), (value, np.float32), (missing_left, np.bool_))
    if any(array.ndim != 1 or array.dtype != dtype for array, dtype in types) or not len(sizes):
        raise ValueError("the arrays of the trees have other types or shapes")
    if len(sizes) > MOST_TREES:
        raise ValueError(f"{len(sizes)} trees are more than {MOST_TREES}")
    nodes = len(column)
    if (sizes < 1).any() or sizes.sum(dtype=np.int64) != nodes or not len(value) == len(missing_left) == nodes:
        raise ValueError(f"the trees' sizes do not add up to their {nodes} nodes")
    if (column < -1).any() or (column >= columns).any() or not np.isfinite(value).all():
        raise ValueError(f"a split looks at none of the {columns} columns, or a number is not finite")
    roots, tree = _roots(sizes), np.repeat(np.arange(len(sizes)), sizes)
    is_split = column >= 0
    splits_before: IntArray = np.cumsum(is_split) - is_split
    within: IntArray = splits_before - splits_before[roots][tree]
    if (2 * np.add.reduceat(is_split.astype(np.int64), roots) + 1 != sizes).any():
        raise ValueError("a tree has not one leaf more than splits")
    here = np.arange(nodes)
    left = np.where(is_split, roots[tree] + 2 * within + 1, here - 1)
    if (left[is_split] <= here[is_split]).any():
        raise ValueError("a split stands behind its children")
    return left.astype(np.int32)


def _count_levels(roots: NDArray[np.int32], left: NDArray[np.int32], column: NDArray[np.int16]) -> int:
    level, levels = roots, 0
    while len(level := level[column[level] >= 0]):
        levels += 1
        if levels > MOST_LEVELS:
            raise ValueError(f"a tree has more than {MOST_LEVELS} levels")
        level = np.concatenate([left[level], left[level] + 1])
    return levels


def _as_xgboost(trees: BoostedTrees) -> dict[str, Any]:
    """What XGBoost's own format says of the trees; what only their making needed is zero."""
    ends = np.cumsum(trees.sizes)
    made = [
        _tree_as_xgboost(trees, at, slice(end - size, end))
        for at, (end, size) in enumerate(zip(ends, trees.sizes, strict=True))
    ]
    count = len(trees.sizes)
    model = {
        "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(count)},
        "iteration_indptr": list(range(count + 1)), "tree_info": [0] * count, "trees": made,
    }  # fmt: skip
    learner = {
        "attributes": {}, "feature_names": [], "feature_types": [],
        "gradient_booster": {"model": model, "name": "gbtree"},
        "learner_model_param": {
            "base_score": f"[{np.float32(trees.base):.9g}]", "boost_from_average": "1", "num_class": "0",
            "num_feature": str(trees.columns), "num_target": "1",
        },
        "objective": {"name": "reg:squarederror", "reg_loss_param": {"scale_pos_weight": "1"}},
    }  # fmt: skip
    return {"learner": learner, "version": [3, 0, 0]}


def _tree_as_xgboost(trees: BoostedTrees, number: int, own: slice) -> dict[str, Any]:
    column, size, root = trees.column[own], own.stop - own.start, own.start
    is_split = column >= 0
    left = np.where(is_split, trees._left[own] - root, -1)
    parents = np.full(size, _ROOT_PARENT)
    parents[left[is_split]] = parents[left[is_split] + 1] = np.flatnonzero(is_split)
    zeros, no_numbers, no_sizes = np.zeros(size, np.float32), np.empty(0, np.int32), np.empty(0, np.int64)
    return {
        "base_weights": zeros, "categories": no_numbers, "categories_nodes": no_numbers,
        "categories_segments": no_sizes, "categories_sizes": no_sizes,
        "default_left": trees.missing_left[own].astype(np.uint8), "id": number, "left_children": left.astype(np.int32),
        "loss_changes": zeros, "parents": parents.astype(np.int32),
        "right_children": np.where(is_split, left + 1, -1).astype(np.int32),
        "split_conditions": trees.value[own], "split_indices": np.maximum(column, 0).astype(np.int32),
        "split_type": np.zeros(size, np.uint8), "sum_hessian": zeros,
        "tree_param": {
            "num_deleted": "0", "num_feature": str(trees.columns), "num_nodes": str(size), "size_leaf_vector": "1"
        },
    }  # fmt: skip
