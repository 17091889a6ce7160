"""What uneven loads of experts cost: equal loads of a replay may just fill tiles, a router's leave one half empty.

A grouped product is measured with the same rows for every expert, and priced so. Its kernel takes the rows of each
expert in blocks, the last of which is seldom full: with 256 rows each and blocks of 256 an expert takes one block, but
with some more and some fewer one and a half on average. No router deals exactly equally, a trained one neither.
Experts that get no row are not there: their weights are not read.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from irene.leaves.leaf_model import LeafValues
from irene.leaves.leaf_table import LeafTable, make_table
from irene.primitives.call import Argument, Call, TensorSpec
from irene.primitives.shapes import gemm_shape

FloatArray = NDArray[np.float64]
GROUPED_PRODUCT = "aten._grouped_mm.default"
# Two tiles at a time: of 64 rows where experts get 128 rows or fewer on average, or have as few columns; else of 128
# (torch, aten/src/ATen/native/cuda/GroupMM.cu, for compute capability 9; that it is two shows in the timings).
_FEW, _FEW_BLOCK_ROWS, _BLOCK_ROWS = 128, 128, 256
# How much of the log of the blocks shows in the time, by replays with loads drawn at 0.1 and 0.3 (experiments/routing):
# a half-empty block of the larger ones costs less than a full one.
_FEW_SHARE, _SHARE = 1.0, 0.75
# Standard deviation of the loads over their mean. Untrained routers of Mixtral and DeepSeek have 0.1 to 0.7 from 4,096
# down to 128 tokens (data/h200/experts); between those, blocks hardly depend on it.
TYPICAL_DEVIATION = 0.3
_LEAST_BUSY_DEVIATION = 0.01  # nearly equal loads


@dataclass(frozen=True, slots=True)
class RouterLoads:
    """How routers deal: the share of experts that get any row, and the deviation of rows over their mean, as rows say.

    The default is what is taken where nothing is known: every expert is busy, as trained routers aim at.
    """

    busy_share: float = 1.0
    deviation: float = TYPICAL_DEVIATION

    @property
    def deviation_of_busy(self) -> float:
        """The deviation over the mean among those that get any row.

        >>> round(RouterLoads(0.25, 3**0.5).deviation_of_busy, 2)  # all rows at a quarter of them, equally
        0.01
        """
        return math.sqrt(max(self.busy_share * (1 + self.deviation**2) - 1, _LEAST_BUSY_DEVIATION**2))


TYPICAL_LOADS = RouterLoads()


def without_idle(table: LeafTable, loads: RouterLoads) -> LeafTable:
    """The same rows, grouped products with the busy experts alone."""
    if loads.busy_share >= 1 or GROUPED_PRODUCT not in {call.op for call in table.calls}:
        return table
    calls = [_without_idle(call, loads.busy_share) if call.op == GROUPED_PRODUCT else call for call in table.calls]
    return make_table(calls, table.dtypes, table.cold.tolist(), table.spec)


def _without_idle(call: Call, busy_share: float) -> Call:
    rows, *others = call.args
    experts = call.tensors[1].shape[0]
    busy = max(1, round(experts * busy_share))

    def fewer(value: Argument) -> Argument:  # weights, ends and biases
        if isinstance(value, TensorSpec) and value.shape[:1] == (experts,):
            return replace(value, shape=(busy, *value.shape[1:]))
        return value

    kwargs = tuple((name, fewer(value)) for name, value in call.kwargs)
    return Call(call.op, (rows, *map(fewer, others)), kwargs, call.outputs, call.is_view)


def deal_unevenly(alone: LeafValues, table: LeafTable, loads: RouterLoads = TYPICAL_LOADS) -> LeafValues:
    """Leaves of busy experts as routers deal: grouped products take as much longer (or shorter) as their blocks do.

    Power stays: with equal loads or not, it is that of a full chip.
    """
    factor = np.ones(len(table.calls))
    for at, call in enumerate(table.calls):
        if call.op == GROUPED_PRODUCT:
            shape = gemm_shape(call)
            factor[at] = uneven_factor(shape.m, shape.n, loads.deviation_of_busy)
    return LeafValues(alone.duration_s * factor, alone.power_w, alone.slowing)


@lru_cache(maxsize=10_000)
def uneven_factor(mean_rows: int, columns: int, deviation: float = TYPICAL_DEVIATION) -> float:
    """Time with uneven loads over that with equal ones, for experts with `mean_rows` each on average.

    >>> uneven_factor(32, 4096), round(uneven_factor(128, 4096), 2), round(uneven_factor(1024, 4096), 2)
    (1.0, 1.5, 1.09)
    """
    is_few = mean_rows <= _FEW or columns <= _FEW
    block, share = (_FEW_BLOCK_ROWS, _FEW_SHARE) if is_few else (_BLOCK_ROWS, _SHARE)
    return float((expected_blocks(mean_rows, deviation, block) / math.ceil(mean_rows / block)) ** share)


def expected_blocks(mean_rows: float, deviation: float, block_rows: int) -> float:
    """Mean number of blocks of an expert, one at least, whose rows are normal around `mean_rows`."""
    spread = math.sqrt(2) * deviation * mean_rows
    most = math.ceil(mean_rows * (1 + 6 * deviation) / block_rows)
    return 1 + sum(0.5 * math.erfc((block * block_rows - mean_rows) / spread) for block in range(1, most + 1))
