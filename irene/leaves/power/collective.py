"""What the regressor of power of exchanges between ranks sees: how fast bytes leave, and among how many.

Rows are about a hundred, so the columns are few. Each row is one rank's: its share of what all boards drew together.
"""

from __future__ import annotations

import numpy as np

from irene.arrays import FloatArray, IntArray
from irene.leaves.kernel_sets import HALF_DTYPES
from irene.leaves.leaf_table import LeafTable
from irene.primitives.collectives import exchange_of


def collective_power_names() -> tuple[str, ...]:
    """Column names of `collective_power_matrix`, in order; the order is part of a saved bundle."""
    return ("log2_link_gb_per_s", "log2_burst_us", "log2_over_base", "log2_ranks", "reduces", "is_half")


def collective_power_matrix(table: LeafTable, members: IntArray, burst_s: FloatArray) -> FloatArray:
    """Columns as named by `collective_power_names`, shape (members, columns), for calls of `burst_s` (members,)."""
    exchanges = [exchange_of(table.calls[i]) for i in members]
    link_bytes = np.array([exchange.link_bytes for exchange in exchanges], dtype=np.float64)
    return np.column_stack([
        np.log2(link_bytes / burst_s / 1e9 + 1e-3),
        np.log2(burst_s * 1e6),
        np.log2(burst_s / table.base_s[members]),
        np.log2([exchange.ranks for exchange in exchanges]),
        np.array([exchange.reduces for exchange in exchanges], dtype=np.float64),
        np.array([table.dtypes[i] in HALF_DTYPES for i in members], dtype=np.float64),
    ])  # fmt: skip
