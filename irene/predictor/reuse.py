"""Are a leaf's weights still in the L2 when it runs again? The bytes touched since their last use decide."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irene.arrays import BoolArray, FloatArray, IntArray
from irene.model_tree.graph import FlatTree

MIN_WEIGHT_BYTES = 1_000_000  # smaller weights were measured hot only


@dataclass(frozen=True, slots=True, eq=False)
class WeightUses:
    """Every use of a weight in a tree: the leaf that reads it, and the leaf that did before, by number in call order.

    The model is called again and again, so a weight's last use in one call precedes its first in the next: `is_lap`.
    """

    leaf: IntArray
    before: IntArray
    is_lap: BoolArray


def find_uses(flat: FlatTree) -> WeightUses:
    """The uses of the weights of a tree, in call order."""
    read = [flat.nodes[i].weight_ids for i in flat.leaf_index]
    last = {weight: index for index, weights in enumerate(read) for weight in weights}
    uses: list[tuple[int, int, bool]] = []
    seen: dict[int, int] = {}
    for index, weights in enumerate(read):
        uses += [(index, seen.get(weight, last[weight]), weight not in seen) for weight in weights]
        seen.update((weight, index) for weight in weights)
    leaf, before, is_lap = zip(*uses, strict=True) if uses else ((), (), ())
    return WeightUses(np.array(leaf, np.int64), np.array(before, np.int64), np.array(is_lap, np.bool_))


def find_cold(uses: WeightUses, traffic_bytes: FloatArray, weight_bytes: FloatArray, l2_bytes: float) -> BoolArray:
    """True for each leaf whose weights are read again only after more than `l2_bytes` of other traffic.

    Arrays are per leaf, in call order: shape (leaves,), or (passes, leaves) of several passes with one tree.
    """
    so_far = np.cumsum(traffic_bytes, axis=-1) - traffic_bytes
    lap = np.where(uses.is_lap, traffic_bytes.sum(axis=-1, keepdims=True), 0.0)
    is_far = so_far[..., uses.leaf] - so_far[..., uses.before] + lap > l2_bytes
    cold = np.zeros(traffic_bytes.shape, dtype=np.bool_)
    leaf, starts = np.unique(uses.leaf, return_index=True)  # in call order already; a leaf may read several
    if len(leaf):
        cold[..., leaf] = np.logical_or.reduceat(is_far, starts, axis=-1)
    cold &= weight_bytes >= MIN_WEIGHT_BYTES
    return cold
