"""What the regressors of power and sustained time see: what the kernel achieves, and what it is.

Rows with energy are few, so the columns are few and shared by all kinds; a column that says nothing of a kind is 0.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from irene.arrays import FloatArray
from irene.leaves.kernel_sets import HALF_DTYPES, REGRESSORS
from irene.leaves.leaf_table import LeafTable, matrix_names
from irene.primitives.call import Call
from irene.primitives.kinds import KINDS
from irene.primitives.stacks import numbers_of

# Of a call's own features, by family; where several families have one name it is one column.
_OWN = (
    "log2_m", "log2_n", "log2_k", "log2_batch", "best_tile_efficiency", "log2_q_len", "log2_kv_len", "log2_head_size",
    "log2_heads", "is_causal", "has_mask", "log2_width", "log2_rows", "flop_per_element", "log2_waves", "any_strided",
    "log2_flop", "log2_flop_per_byte",
)  # fmt: skip
_DTYPES = ("bfloat16", "float16", "float32", "tf32")


@cache
def power_names() -> tuple[str, ...]:
    """Column names of `power_matrix`, in order."""
    achieved = ("log2_half_tflop_per_s", "log2_other_tflop_per_s", "log2_tb_per_s", "log2_burst_us", "log2_over_base")
    static = ("log2_traffic_bytes", "log2_base_us", "is_half", "is_cold", *(f"kind_{kind}" for kind in KINDS))
    last = ("makes_integers", "log2_watts_by_rates")
    which = (*(f"dtype_{dtype}" for dtype in _DTYPES), *(f"regressor_{name}" for name in REGRESSORS))
    return (*achieved, *static, *which, *_OWN, *last)


def power_matrix(table: LeafTable, burst_s: FloatArray, by_rates_w: FloatArray) -> FloatArray:
    """Columns as named by `power_names`, shape (rows, columns), for calls that take `burst_s` in a burst.

    `by_rates_w` is what `irene.leaves.power.activity` says that they draw.
    """
    kinds, dtypes, regressors = (table.words(column) for column in ("kinds", "dtypes", "regressors"))
    half = np.isin(dtypes, HALF_DTYPES).astype(np.float64)
    flop_rate = np.log2(np.maximum(table.matmul_flop, 1.0) / burst_s / 1e12 + 1e-3)
    columns = [
        flop_rate * half,
        flop_rate * (1 - half),
        np.log2(table.traffic_bytes / burst_s / 1e12 + 1e-3),
        np.log2(burst_s * 1e6),
        np.log2(burst_s / table.base_s),
        np.log2(table.traffic_bytes + 1.0),
        np.log2(table.base_s * 1e6),
        half,
        table.cold.astype(np.float64),
        *(kinds == kind for kind in KINDS),
        *(dtypes == dtype for dtype in _DTYPES),
        *(regressors == name for name in REGRESSORS),
    ]
    return np.column_stack([*columns, _own_columns(table), _makes_integers(table), np.log2(by_rates_w)])


def _makes_integers(table: LeafTable) -> FloatArray:
    """Small whole numbers leave most wires of a word still: less power than random floating point."""
    makes_integers: FloatArray = numbers_of(_makes_whole, table.calls, 1)[0]
    return makes_integers


def _makes_whole(call: Call) -> tuple[bool]:
    return (bool(call.outputs) and call.outputs[0].dtype.startswith(("int", "uint", "bool")),)


def _own_columns(table: LeafTable) -> FloatArray:
    """Columns of _OWN from those that the regressors of time see; 0 for calls that launch nothing."""
    own = np.zeros((len(table.calls), len(_OWN)))
    for name in REGRESSORS:
        members = table.members_of(name)
        if len(members):
            known = {column: at for at, column in enumerate(matrix_names(name))}
            matrix = table.matrix(name, members)
            for at, column in enumerate(_OWN):
                if column in known:
                    own[members, at] = matrix[:, known[column]]
    return own
