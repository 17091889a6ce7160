"""What the regressor of power of norms, pools and resizings of images sees: how hard a kernel works, and how widely.

What waits for loads draws little, whatever its bytes; what looks up each element once a tap draws much, though it moves
few. Windows of them are few, so the columns are too.
"""

from __future__ import annotations

import numpy as np

from irene.arrays import FloatArray, IntArray
from irene.leaves.leaf_table import LeafTable

IMAGES = "vector-images"
_FADED = 0.02  # of the bandwidth: below it idle power hides what is achieved
_RATES = ("log2_loads_rate", "log2_elements_in_rate", "log2_elements_out_rate", "log2_planes_rate")
_SIZES = ("log2_walkers", "log2_walk", "is_channels_last", "is_batch_norm", "is_max_pool")


def image_power_names() -> tuple[str, ...]:
    """Column names of `image_power_matrix`, in order; the order is part of a saved bundle."""
    return ("log2_bytes_share", "log2_burst_us", "log2_over_base", "is_half", *_RATES, *_SIZES)


def image_power_matrix(table: LeafTable, members: IntArray, burst_s: FloatArray) -> FloatArray:
    """Columns as named by `image_power_names`, shape (members, columns), for calls of `burst_s` (members,).

    Rates are a microsecond of the burst.
    """
    names = table.names_of(IMAGES)
    seen = table.matrix(IMAGES, members)
    own = {name: seen[:, names.index(name)] for name in (*_RATES, *_SIZES, "is_half")}
    over_base = np.log2(burst_s / table.base_s[members])
    return np.column_stack([
        np.log2(table.traffic_bytes[members] / burst_s / table.spec.hbm_bytes_per_s + _FADED),
        np.log2(burst_s * 1e6),
        over_base,
        own["is_half"],
        *(own[name] - over_base for name in _RATES),
        *(own[name] for name in _SIZES),
    ])  # fmt: skip
