"""What the regressor of power of convolutions sees: how hard a kernel works, and how much of the chip it takes part in.

A library has many algorithms for a convolution, some of which keep most multiprocessors idle for as long as they run:
two that achieve the same FLOP/s draw different power. What a kernel does beside its product shows as shares of the
time that it took.
"""

from __future__ import annotations

import numpy as np

from irene.arrays import FloatArray, IntArray
from irene.leaves.columns.image_convolution import IMAGE_CONVOLUTION, image_convolution
from irene.leaves.kernel_sets import HALF_DTYPES
from irene.leaves.leaf_table import LeafTable
from irene.primitives.call import Call
from irene.primitives.shapes import gemm_shape, is_transposed

_IN_GROUPS = "gemm-convolution-in-groups"
_FADED = 0.02  # of the peak: below it idle power hides what is achieved
_TILE = 128  # rows and columns of output that a multiprocessor takes at a time, about


def convolution_members(table: LeafTable) -> IntArray:
    """The rows of `table` that are convolutions as windows have them.

    No transposed or depthwise ones, and no images in groups: few windows are of them, or their kernels are others.
    """
    asked = np.flatnonzero((table.words("kinds") == "convolution") & table.launches).tolist()
    found = [at for at in asked if _is_as_measured(table.calls[at], table.regressors[at])]
    return np.array(found, dtype=np.int64)


def _is_as_measured(call: Call, regressor: str) -> bool:
    return not is_transposed(call) and (regressor == _IN_GROUPS or gemm_shape(call).batch == 1)


def convolution_power_names() -> tuple[str, ...]:
    """Column names of `convolution_power_matrix`, in order; the order is part of a saved bundle."""
    shares = ("log2_products_share", "log2_bytes_share", "log2_busy_share")
    which = ("is_half", "is_tf32", "is_in_groups", "is_image")
    sizes = ("log2_group_channels_in", "log2_numel_out")
    return (*shares, "log2_burst_us", "log2_over_base", *which, *sizes, *IMAGE_CONVOLUTION)


def convolution_power_matrix(table: LeafTable, members: IntArray, burst_s: FloatArray) -> FloatArray:
    """Columns as named by `convolution_power_names`, shape (members, columns), for calls of `burst_s` (members,)."""
    spec, calls = table.spec, [table.calls[i] for i in members]
    dtypes = np.array([table.dtypes[i] for i in members])
    half, tf32 = np.isin(dtypes, HALF_DTYPES), dtypes == "tf32"
    flop_per_s = np.select([half, tf32], [spec.peak("bfloat16"), spec.peak("tf32")], spec.vector_flop_per_s)
    shapes = [gemm_shape(call) for call in calls]
    tiles = np.array([s.batch * -(-s.m // _TILE) * -(-s.n // _TILE) for s in shapes], dtype=np.float64)
    weights = [call.tensors[1].shape for call in calls]
    return np.column_stack([
        np.log2(table.matmul_flop[members] / burst_s / flop_per_s + _FADED),
        np.log2(table.traffic_bytes[members] / burst_s / spec.hbm_bytes_per_s + _FADED),
        np.log2(np.clip(tiles / spec.sm_count, 1.0 / spec.sm_count, 1.0)),
        np.log2(burst_s * 1e6),
        np.log2(burst_s / table.base_s[members]),
        half.astype(np.float64),
        tf32.astype(np.float64),
        np.array([table.regressors[i] == _IN_GROUPS for i in members], dtype=np.float64),
        np.array([len(weight) == 4 for weight in weights], dtype=np.float64),
        np.log2(np.maximum([weight[1] for weight in weights], 1)),
        np.log2(np.maximum([call.outputs[0].numel for call in calls], 1)),
        image_convolution(calls, dtypes.tolist(), burst_s, spec),
    ])  # fmt: skip
