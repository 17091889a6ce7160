"""What a kernel draws by the rates at which it works: the physics under the regressor of power.

Watts = idle + so many joules for each operation and byte x how many a second, the power cap at most. The few numbers
are fitted on all windows together; what a kernel draws more or less than that is left to the regressor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_table import HALF_DTYPES, LeafTable

FloatArray = NDArray[np.float64]
# Trillions a second of each; the last is one for every kernel, whatever it does.
RATES = (
    "half_product_flop", "tf32_product_flop", "float32_product_flop", "half_attention_flop", "tf32_attention_flop",
    "float32_attention_flop", "bytes", "other_flop", "running",
)  # fmt: skip
_TERA = 1e12
_BELOW_CAP = 0.95  # of the cap: where it is reached, watts say nothing about rates


@dataclass(frozen=True, slots=True)
class RatePower:
    """`watts` for each of RATES: a picojoule an operation or byte is a watt at a trillion of them a second."""

    watts: tuple[float, ...]

    def power_w(self, table: LeafTable, burst_s: FloatArray) -> FloatArray:
        """Watts of calls that take `burst_s` in a burst, shape (rows,)."""
        drawn_w: FloatArray = table.spec.context_idle_power_w + _rates(table, burst_s) @ np.array(self.watts)
        return np.minimum(drawn_w, table.spec.power_cap_w)


def fit_rate_power(metered: LeafTable, burst_s: FloatArray, metered_w: FloatArray, spec: DeviceSpec) -> RatePower:
    """The least squares of relative errors of `metered_w` below the cap, no term below zero; all zero if none is."""
    from scipy.optimize import nnls  # type: ignore[import-untyped]

    below = metered_w < _BELOW_CAP * spec.power_cap_w
    if not below.any():
        return RatePower((0.0,) * len(RATES))
    of_power = _rates(metered, burst_s)[below] / metered_w[below, None]
    watts, _ = nnls(of_power, np.maximum(1.0 - spec.context_idle_power_w / metered_w[below], 0.0))
    return RatePower(tuple(map(float, watts)))


def _rates(table: LeafTable, burst_s: FloatArray) -> FloatArray:
    """Columns as named in RATES, shape (rows, columns)."""
    dtypes, is_attention = np.array(table.dtypes), np.array(table.kinds) == "attention"
    half, tf32 = np.isin(dtypes, HALF_DTYPES), dtypes == "tf32"
    products_per_s = table.matmul_flop / burst_s / _TERA
    kinds = (half, tf32, ~half & ~tf32)
    return np.column_stack([
        *(products_per_s * (kind & ~is_attention) for kind in kinds),
        *(products_per_s * (kind & is_attention) for kind in kinds),
        table.traffic_bytes / burst_s / _TERA,
        np.maximum(table.flop - table.matmul_flop, 0.0) / burst_s / _TERA,
        np.ones(len(table.calls)),
    ])  # fmt: skip
