"""Are a leaf's weights still in the L2 when it runs again? The bytes touched since their last use decide."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from irene.model_tree.graph import FlatTree

MIN_WEIGHT_BYTES = 1_000_000  # smaller weights were measured hot only


def find_cold(
    flat: FlatTree, traffic_bytes: NDArray[np.float64], weight_bytes: NDArray[np.float64], l2_bytes: float
) -> NDArray[np.bool_]:
    """True for each leaf whose weights are read again only after more than `l2_bytes` of other traffic.

    The model is called again and again, so a weight's last use in one call precedes its first in the next. Arrays are
    per leaf, in call order.
    """
    total = float(traffic_bytes.sum())
    before = np.concatenate([[0.0], np.cumsum(traffic_bytes)[:-1]])
    last_use: dict[int, int] = {}
    leaves = [flat.nodes[i] for i in flat.leaf_index]
    for index, node in enumerate(leaves):
        for weight in node.weight_ids:
            last_use[weight] = index
    cold = np.zeros(len(leaves), dtype=np.bool_)
    seen: dict[int, int] = {}
    for index, node in enumerate(leaves):
        if weight_bytes[index] >= MIN_WEIGHT_BYTES:
            distances = []
            for weight in node.weight_ids:
                earlier = seen.get(weight)
                lap = 0.0 if earlier is not None else total
                distances.append(before[index] - before[last_use[weight] if earlier is None else earlier] + lap)
            cold[index] = max(distances, default=0.0) > l2_bytes
        for weight in node.weight_ids:
            seen[weight] = index
    return cold
