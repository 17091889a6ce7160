"""Energy from a run that was watched but not metered: time and clock in, no counter and no power reading.

What is not known without a run is how long the host keeps the GPU waiting, and how far the power cap takes the clock
down. Both can be read where the model runs, even where energy cannot. With a clock below its highest the board draws
its cap, whatever runs; with clocks up, its power is the predicted work spread over the measured time, corrected by a
few linear terms: of what the energy is made of, and whether the work took less time than predicted. Of a mixture of
experts it can also be counted how its routers load experts, which a prediction without a run cannot know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from irene.arrays import BoolArray, FloatArray
from irene.errors import BadInput
from irene.hardware.spec import DeviceSpec
from irene.leaves.kernel_sets import HALF_DTYPES
from irene.leaves.leaf_table import LeafTable
from irene.predictor.load_imbalance import TYPICAL_LOADS, RouterLoads
from irene.predictor.steady_state import Placement

# Shares are of the energy as predicted, what products in 16 bits make of it being the rest.
_PARTS = ("float32_products", "tf32_products", "experts", "convolutions", "attention", "passes")
TERMS = ("log_faster", "is_eager", "waiting_share", *(f"{part}_share" for part in _PARTS))
_FULL_CLOCK_SHARE = 0.998
_SHRINKAGE = 10.0  # of standardised terms, against the number of runs
# Log of power: terms go on linearly where no run was, as far as this.
_LARGEST_CORRECTION = 0.3


@dataclass(frozen=True, slots=True)
class RuntimeFeatures:
    """What a user can read while a model runs again and again: per call the seconds, over the window the mean clock.

    Of a mixture of experts also how its routers load them, if that was counted: how many get any row, and the
    standard deviation of their rows over the mean; both are means over its layers.
    """

    duration_s: float
    sm_clock_hz: float
    busy_experts_pct: float | None = None
    expert_load_deviation: float | None = None

    def __post_init__(self) -> None:
        if (self.busy_experts_pct is None) != (self.expert_load_deviation is None):
            raise BadInput(
                "busy_experts_pct and expert_load_deviation of a run are given together or not at all, got "
                f"{self.busy_experts_pct!r} and {self.expert_load_deviation!r}."
            )
        for name, low, high in (
            ("duration_s", 0.0, float("inf")), ("sm_clock_hz", 1e8, 1e10), ("busy_experts_pct", 0.0, 100.0),
            ("expert_load_deviation", 0.0, float("inf")),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is None:
                continue
            is_zero = value <= 0 and name in ("duration_s", "busy_experts_pct")
            if not low <= value <= high or value == float("inf") or is_zero:
                above = " (above 0)" if is_zero else ""
                raise BadInput(f"{name} of a run is from {low:g} to {high:g}{above}, got {value!r}.")

    @property
    def seen_loads(self) -> RouterLoads | None:
        """How routers loaded experts, where it was counted."""
        if self.busy_experts_pct is None or self.expert_load_deviation is None:
            return None
        return RouterLoads(self.busy_experts_pct / 100.0, self.expert_load_deviation)

    @property
    def loads(self) -> RouterLoads:
        """How routers loaded experts, or what is taken where it was not counted."""
        return self.seen_loads or TYPICAL_LOADS


@dataclass(frozen=True, slots=True, eq=False)
class WatchedRun:
    """A run beside what was predicted of it: `spread_power_w` is the predicted work over the measured time.

    `terms` (len(TERMS),) are what its correction is linear in.
    """

    duration_s: float
    is_throttled: bool
    spread_power_w: float
    terms: FloatArray


def watch_run(placed: Placement, run: RuntimeFeatures, execution: str, spec: DeviceSpec) -> WatchedRun:
    """What one call that ran as `run` says, and was predicted as `placed`, tells of its power."""
    busy_j, busy_s = float(placed.busy_j.sum()), float(placed.busy_s.sum())
    # The predicted work's energy, and idle power where the run took longer.
    waiting_j = spec.context_idle_power_w * max(run.duration_s - busy_s, 0.0)
    spread_j = max(busy_j + waiting_j, 1e-12)
    # A run that took less than its work was predicted to take had faster kernels, which cost less too.
    log_faster = float(np.clip(np.log(run.duration_s / max(busy_s, 1e-9)), -1.0, 0.0))
    table, at = placed.leaves.table, placed.leaves.row_of_leaf
    of_rows_j = np.bincount(at, weights=placed.busy_j, minlength=len(table.calls))
    shares = [float(of_rows_j[part].sum()) / spread_j for part in _parts(table)]
    return WatchedRun(
        duration_s=run.duration_s,
        is_throttled=run.sm_clock_hz < _FULL_CLOCK_SHARE * spec.max_sm_clock_hz,
        spread_power_w=min(spread_j / run.duration_s, spec.power_cap_w),
        terms=np.array([log_faster, float(execution == "eager"), waiting_j / spread_j, *shares]),
    )


def _parts(table: LeafTable) -> list[BoolArray]:
    """The rows of each of _PARTS."""
    family, kind, dtype = (np.array(names, dtype=np.str_) for names in (table.families, table.kinds, table.dtypes))
    products = kind == "gemm"
    is_tf32 = dtype == "tf32"
    return [
        products & ~np.isin(dtype, HALF_DTYPES) & ~is_tf32, products & is_tf32, kind == "grouped_gemm",
        kind == "convolution", family == "attention", family == "vector",
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class RuntimeModel:
    """Power of a throttled run, and for others the correction of the log of the predicted power, linear in TERMS."""

    throttled_power_w: float
    intercept: float
    coefficients: tuple[float, ...]

    def energy_j(self, run: WatchedRun, spec: DeviceSpec) -> float:
        """Joules of one call."""
        if run.is_throttled:
            return self.throttled_power_w * run.duration_s
        correction = self.intercept + float(run.terms @ np.array(self.coefficients))
        bounded = float(np.clip(correction, -_LARGEST_CORRECTION, _LARGEST_CORRECTION))
        return min(run.spread_power_w * float(np.exp(bounded)), spec.power_cap_w) * run.duration_s


def fit_runtime(runs: Sequence[WatchedRun], measured_j: Sequence[float], spec: DeviceSpec) -> RuntimeModel:
    """Ridge regression on the runs with clocks up; the median power of the others. Both sequences have one length."""
    measured_w = np.array([energy_j / run.duration_s for run, energy_j in zip(runs, measured_j, strict=True)])
    is_throttled = np.array([run.is_throttled for run in runs], dtype=np.bool_)
    capped_w = float(np.median(measured_w[is_throttled])) if is_throttled.any() else spec.power_cap_w
    up = [run for run in runs if not run.is_throttled]
    if len(up) < 2 * len(TERMS):
        return RuntimeModel(capped_w, 0.0, (0.0,) * len(TERMS))
    matrix = np.array([run.terms for run in up])
    target = np.log(measured_w[~is_throttled] / np.array([run.spread_power_w for run in up]))
    centre, scale = matrix.mean(axis=0), np.maximum(matrix.std(axis=0), 1e-9)
    standard = (matrix - centre) / scale
    inner = standard.T @ standard + _SHRINKAGE * np.eye(len(TERMS))
    slopes = np.linalg.solve(inner, standard.T @ (target - target.mean())) / scale
    return RuntimeModel(capped_w, float(target.mean() - centre @ slopes), tuple(map(float, slopes)))
