"""What a kernel draws by the rates at which it works: the physics under the regressor of power.

Watts = idle + so many joules for each operation and byte x how many a second, the power cap at most. The few numbers
are fitted on all windows together; what a kernel draws more or less than that is left to the regressor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irene.arrays import BoolArray, FloatArray
from irene.hardware.spec import DeviceSpec
from irene.leaves.kernel_sets import HALF_DTYPES, LOW_PRECISION
from irene.leaves.leaf_table import LeafTable

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
        return np.minimum(self.uncapped_w(table, burst_s), table.spec.power_cap_w)

    def uncapped_w(self, table: LeafTable, burst_s: FloatArray) -> FloatArray:
        """Watts that they would draw at full voltage if the board had no cap, shape (rows,)."""
        drawn_w: FloatArray = table.spec.context_idle_power_w + _rates(table, burst_s) @ np.array(self.watts)
        return drawn_w

    def shares(self, table: LeafTable, burst_s: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """How much of what is drawn beside idle power goes to arithmetic, to bytes, and to running at all.

        Each of shape (rows,); they sum to 1.
        """
        drawn_w = _rates(table, burst_s) * np.array(self.watts)
        whole_w = np.maximum(drawn_w.sum(axis=1), 1e-9)
        memory, running = (drawn_w[:, RATES.index(name)] / whole_w for name in ("bytes", "running"))
        return 1.0 - memory - running, memory, running


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
    dtypes, is_attention = table.words("dtypes"), table.words("kinds") == "attention"
    half, tf32 = np.isin(dtypes, HALF_DTYPES), dtypes == "tf32"
    low = np.isin(table.words("regressors"), LOW_PRECISION)
    half |= low
    products_per_s = table.matmul_flop * _worth(table, low) / burst_s / _TERA
    kinds = (half, tf32, ~half & ~tf32)
    return np.column_stack([
        *(products_per_s * (kind & ~is_attention) for kind in kinds),
        *(products_per_s * (kind & is_attention) for kind in kinds),
        table.traffic_bytes / burst_s / _TERA,
        np.maximum(table.flop - table.matmul_flop, 0.0) / burst_s / _TERA,
        np.ones(len(table.calls)),
    ])  # fmt: skip


def _worth(table: LeafTable, low: BoolArray) -> FloatArray:
    """How many operations in 16 bits keep tensor cores as busy as one does: a half for 8 bits, shape (rows,)."""
    peaks = table.spec.peak_flop_per_s
    half_peak = max(peaks.get(dtype, 0.0) for dtype in HALF_DTYPES)
    of_dtype = [half_peak / peaks[dtype] if half_peak and dtype in peaks else 1.0 for dtype in table.dtypes]
    return np.where(low, of_dtype, 1.0)
