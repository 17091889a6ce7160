"""What the regressor of power of depthwise convolutions sees: how hard a kernel works, on what, and whose kernel it is.

Its products run on the vector units, each element loaded once a tap: what it draws follows from loads and outputs a
second, and from how much of the chip it takes part in, not from FLOP as of other products.
"""

from __future__ import annotations

import numpy as np

from irene.arrays import FloatArray, IntArray
from irene.leaves.kernel_sets import HALF_DTYPES
from irene.leaves.leaf_table import LeafTable

DEPTHWISE = "gemm-convolution-depthwise"
_FADED = 0.02  # of the peak: below it idle power hides what is achieved
_THREADS = 256  # of a block, about: with one output each, how often the outputs fill all multiprocessors
_OWN = ("log2_taps", "is_of_library", "is_channels_last")


def depthwise_power_names() -> tuple[str, ...]:
    """Column names of `depthwise_power_matrix`, in order; the order is part of a saved bundle."""
    achieved = ("log2_bytes_share", "log2_vector_share", "log2_outputs_rate", "log2_burst_us", "log2_over_base")
    return (*achieved, "log2_waves_of_outputs", "is_half", *_OWN)


def depthwise_power_matrix(table: LeafTable, members: IntArray, burst_s: FloatArray) -> FloatArray:
    """Columns as named by `depthwise_power_names`, shape (members, columns), for calls of `burst_s` (members,).

    The rate of outputs is a microsecond of the burst.
    """
    spec, seen, names = table.spec, table.matrix(DEPTHWISE, members), table.names_of(DEPTHWISE)
    outputs = np.array([table.calls[i].outputs[0].numel for i in members], dtype=np.float64)
    return np.column_stack([
        np.log2(table.traffic_bytes[members] / burst_s / spec.hbm_bytes_per_s + _FADED),
        np.log2(table.flop[members] / burst_s / spec.vector_flop_per_s + _FADED),
        np.log2(np.maximum(outputs, 1.0) / (burst_s * 1e6)),
        np.log2(burst_s * 1e6),
        np.log2(burst_s / table.base_s[members]),
        np.log2(np.maximum(outputs, 1.0) / (spec.sm_count * _THREADS)),
        np.isin([table.dtypes[i] for i in members], HALF_DTYPES).astype(np.float64),
        *(seen[:, names.index(name)] for name in _OWN),
    ])  # fmt: skip
