"""Boosted trees as few arrays for a file, and back: a tenth of the bytes of XGBoost's own format, nothing lost.

Trees are grown on histograms: some thousand pairs of column and threshold stand for all splits. A split is a number in
that list of cuts, a leaf one float; which nodes are splits, and where a NaN goes, are bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irene.leaves.learners.boosted_trees import BoostedTrees

TREE_ARRAYS: Mapping[str, type[np.generic]] = {
    "sizes": np.int32, "is_split": np.uint8, "cut": np.uint32, "cut_column": np.int16, "cut_at": np.float32,
    "leaf": np.float32, "missing_left": np.uint8, "base": np.float32, "columns": np.int32,
}  # fmt: skip


def trees_to_arrays(trees: BoostedTrees) -> dict[str, NDArray[Any]]:
    """Arrays named in TREE_ARRAYS; the same trees give the same arrays."""
    is_split = trees.column >= 0
    pairs = np.stack([trees.column[is_split].astype(np.float64), trees.value[is_split].astype(np.float64)])
    cuts, cut = np.unique(pairs, axis=1, return_inverse=True)
    arrays = {
        "sizes": trees.sizes, "is_split": np.packbits(is_split), "cut": cut.ravel(), "cut_column": cuts[0],
        "cut_at": cuts[1], "leaf": trees.value[~is_split], "missing_left": np.packbits(trees.missing_left[is_split]),
        "base": np.float32(trees.base), "columns": np.int32(trees.columns),
    }  # fmt: skip
    return {name: np.asarray(arrays[name], dtype=dtype) for name, dtype in TREE_ARRAYS.items()}


def trees_from_arrays(arrays: Mapping[str, NDArray[Any]]) -> BoostedTrees:
    """The trees of such arrays. Raises ValueError, with the reason, for arrays that are none."""
    for name, dtype in TREE_ARRAYS.items():
        if name not in arrays or arrays[name].dtype != dtype or arrays[name].ndim != (name not in ("base", "columns")):
            raise ValueError(f"the array {name!r} is missing or of another type")
    sizes, cut, leaf = arrays["sizes"], arrays["cut"], arrays["leaf"]
    nodes, splits = len(cut) + len(leaf), len(cut)
    if len(arrays["is_split"]) != -(-nodes // 8) or len(arrays["missing_left"]) != -(-splits // 8):
        raise ValueError(f"the bits of {nodes} nodes do not fit them")
    is_split = np.unpackbits(arrays["is_split"], count=nodes).astype(np.bool_)
    if int(is_split.sum()) != splits or len(arrays["cut_column"]) != len(arrays["cut_at"]):
        raise ValueError(f"expected {splits} splits among {nodes} nodes, got {int(is_split.sum())}")
    if splits and int(cut.max()) >= len(arrays["cut_at"]):
        raise ValueError(f"a split names a cut beyond the {len(arrays['cut_at'])} that there are")
    column, value, missing_left = np.full(nodes, -1, np.int16), np.empty(nodes, np.float32), np.zeros(nodes, np.bool_)
    column[is_split], value[is_split], value[~is_split] = arrays["cut_column"][cut], arrays["cut_at"][cut], leaf
    missing_left[is_split] = np.unpackbits(arrays["missing_left"], count=splits)
    return BoostedTrees(sizes, column, value, missing_left, float(arrays["base"]), int(arrays["columns"]))
