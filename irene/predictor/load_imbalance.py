"""What uneven loads of experts cost: equal loads of a replay may just fill tiles, a router's leave one half empty.

A grouped product is measured with the same rows for every expert, and priced so. Its kernel takes the rows of each
expert in blocks, the last of which is seldom full: with 256 rows each and blocks of 256 an expert takes one block, but
with some more and some fewer one and a half on average. No router deals exactly equally, a trained one neither.
Experts that get no row are not there: their weights are not read, neither by a grouped product nor by a gather.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np

from irene.hardware.kernel_library import GroupedProducts
from irene.leaves.leaf_model import LeafValues
from irene.leaves.leaf_table import LeafTable, make_table
from irene.primitives.call import Argument, Call, TensorSpec
from irene.primitives.expert_calls import count_rows_and_experts, is_expert_gather
from irene.primitives.shapes import gemm_shape

GROUPED_PRODUCT = "aten._grouped_mm.default"
# Standard deviation of the loads over their mean. Untrained routers of Mixtral and DeepSeek have 0.1 to 0.7 from 4,096
# down to 128 tokens (data/h200/experts); between those, blocks hardly depend on it.
TYPICAL_DEVIATION = 0.3
_LEAST_BUSY_DEVIATION = 0.01  # nearly equal loads


class Loads(Protocol):
    """How the experts of one call are loaded; a value that can be a key."""

    def __hash__(self) -> int: ...

    @property
    def busy_share(self) -> float:
        """The share of experts that get any row."""

    def count_blocks(self, mean_rows: int, block_rows: int) -> float:
        """Mean number of blocks of a busy expert; these have `mean_rows` on average."""


@dataclass(frozen=True, slots=True)
class RouterLoads:
    """How routers load experts: the share that get any row, and the deviation of rows over their mean, as rows say.

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

    def count_blocks(self, mean_rows: int, block_rows: int) -> float:
        return expected_blocks(mean_rows, self.deviation_of_busy, block_rows)


TYPICAL_LOADS = RouterLoads()


def without_idle(table: LeafTable, loads: Sequence[Loads]) -> LeafTable:
    """The same rows, each with its loads: experts that get no row are not there."""
    if all(own.busy_share >= 1 for own in {id(own): own for own in loads}.values()):  # few, of many rows
        return table
    calls = [_without_idle(call, own) for call, own in zip(table.calls, loads, strict=True)]
    if all(new is old for new, old in zip(calls, table.calls, strict=True)):
        return table
    return make_table(calls, table.dtypes, table.cold.tolist(), table.spec)


def _without_idle(call: Call, loads: Loads) -> Call:
    if loads.busy_share >= 1:
        return call
    routed = count_rows_and_experts(call)
    if routed is None or (call.op != GROUPED_PRODUCT and not is_expert_gather(call)):
        return call
    rows, experts = routed
    busy = max(1, round(experts * loads.busy_share))
    if call.op != GROUPED_PRODUCT and busy >= min(rows, experts):
        return call  # of a gather no more are read in any case

    def fewer(value: Argument) -> Argument:  # weights, ends and biases
        if isinstance(value, TensorSpec) and value.shape[:1] == (experts,):
            return replace(value, shape=(busy, *value.shape[1:]))
        return value

    if call.op != GROUPED_PRODUCT:
        return Call(call.op, (fewer(call.args[0]), *call.args[1:]), call.kwargs, call.outputs, call.is_view)
    first, *others = call.args
    kwargs = tuple((name, fewer(value)) for name, value in call.kwargs)
    return Call(call.op, (first, *map(fewer, others)), kwargs, call.outputs, call.is_view)


def apply_load_imbalance(alone: LeafValues, table: LeafTable, loads: Sequence[Loads]) -> LeafValues:
    """Leaves of busy experts as routers load them: grouped products take as much longer (or shorter) as blocks do.

    `loads` has one value a row of the table. Power stays: with equal loads or not, it is that of a full chip.
    """
    factor, grouped = np.ones(len(table.calls)), table.spec.library.grouped_products
    for at in np.flatnonzero(table.words("kinds") == "grouped_gemm").tolist():
        call, own = table.calls[at], loads[at]
        if call.op == GROUPED_PRODUCT:
            shape = gemm_shape(call)
            factor[at] = uneven_factor(shape.m, shape.n, grouped, own)
    return LeafValues(alone.duration_s * factor, alone.power_w, alone.slowing)


@lru_cache(maxsize=10_000)
def uneven_factor(mean_rows: int, columns: int, grouped: GroupedProducts, loads: Loads = TYPICAL_LOADS) -> float:
    """Time with uneven loads over that with equal ones, for experts with `mean_rows` each on average.

    >>> from irene.hardware.kernel_library import load_library
    >>> grouped = load_library("hopper").grouped_products
    >>> [round(uneven_factor(rows, 4096, grouped), 2) for rows in (32, 128, 1024)]
    [1.0, 1.5, 1.09]
    """
    if mean_rows <= grouped.few or columns <= grouped.few:
        block, share = grouped.few_block_rows, grouped.few_share
    else:
        block, share = grouped.block_rows, grouped.share
    return float((loads.count_blocks(mean_rows, block) / math.ceil(mean_rows / block)) ** share)


def expected_blocks(mean_rows: float, deviation: float, block_rows: int) -> float:
    """Mean number of blocks of an expert, one at least, whose rows are normal around `mean_rows`."""
    spread = math.sqrt(2) * deviation * mean_rows
    most = math.ceil(mean_rows * (1 + 6 * deviation) / block_rows)
    return 1 + sum(0.5 * math.erfc((block * block_rows - mean_rows) / spread) for block in range(1, most + 1))
