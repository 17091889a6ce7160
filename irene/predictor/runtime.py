"""Energy from a run that was watched but not metered: time, utilisation and clock in, no counter and no power reading.

What is not known without a run is how long the host keeps the GPU waiting, and how far the power cap takes the clock
down. Both can be read where the model runs, even where energy cannot. With a clock below its highest the board draws
its cap, whatever runs; with clocks up, its power is the predicted work spread over the measured time, corrected by a
few linear terms.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irene.errors import BadInput
from irene.hardware.spec import DeviceSpec
from irene.predictor.placement import Placement

FloatArray = NDArray[np.float64]
TERMS = ("log_faster", "log_waiting", "gpu_utilization", "memory_utilization", "is_eager")
_FULL_CLOCK_SHARE = 0.998
_SHRINKAGE = 3.0  # of standardised terms, against the number of runs


@dataclass(frozen=True, slots=True)
class RuntimeFeatures:
    """What a user can read while a model runs again and again: per call the seconds, over the window the means."""

    duration_s: float
    gpu_utilization_pct: float
    memory_utilization_pct: float
    sm_clock_hz: float

    def __post_init__(self) -> None:
        for name, low, high in (
            ("duration_s", 0.0, float("inf")), ("gpu_utilization_pct", 0.0, 100.0),
            ("memory_utilization_pct", 0.0, 100.0), ("sm_clock_hz", 1e8, 1e10),
        ):  # fmt: skip
            value = getattr(self, name)
            if not low <= value <= high or value == float("inf") or (name == "duration_s" and value <= 0):
                raise BadInput(f"{name} of a run is from {low:g} to {high:g}, got {value!r}.")


@dataclass(frozen=True, slots=True)
class RuntimeModel:
    """Power of a throttled run, and for others the correction of the log of the predicted power, linear in TERMS."""

    throttled_power_w: float
    intercept: float
    coefficients: tuple[float, ...]

    def energy_j(self, placed: Placement, run: RuntimeFeatures, execution: str, spec: DeviceSpec) -> float:
        """Joules of one call that ran as `run` says and was predicted as `placed`."""
        if is_throttled(run, spec):
            return self.throttled_power_w * run.duration_s
        power_w = spread_power_w(placed, run, spec)
        correction = self.intercept + float(_terms(placed, run, execution) @ np.array(self.coefficients))
        return min(power_w * float(np.exp(correction)), spec.power_cap_w) * run.duration_s


def is_throttled(run: RuntimeFeatures, spec: DeviceSpec) -> bool:
    """The power cap has taken the clock down."""
    return run.sm_clock_hz < _FULL_CLOCK_SHARE * spec.max_sm_clock_hz


def spread_power_w(placed: Placement, run: RuntimeFeatures, spec: DeviceSpec) -> float:
    """The predicted work's energy over the measured time, idle power where that is longer; the cap at most."""
    busy_j, busy_s = float(placed.busy_j.sum()), float(placed.busy_s.sum())
    waiting_s = max(run.duration_s - busy_s, 0.0)
    return min((busy_j + spec.context_idle_power_w * waiting_s) / run.duration_s, spec.power_cap_w)


def fit_runtime(
    placed: Sequence[Placement], runs: Sequence[RuntimeFeatures], executions: Sequence[str],
    measured_j: Sequence[float], spec: DeviceSpec,
) -> RuntimeModel:  # fmt: skip
    """Ridge regression on the runs with clocks up; the median power of the others. All sequences have one length."""
    throttled_w, terms, targets = [], [], []
    for whole, run, execution, energy_j in zip(placed, runs, executions, measured_j, strict=True):
        if is_throttled(run, spec):
            throttled_w.append(energy_j / run.duration_s)
            continue
        power_w = spread_power_w(whole, run, spec)
        terms.append(_terms(whole, run, execution))
        targets.append(float(np.log(energy_j / run.duration_s / power_w)))
    capped_w = float(np.median(throttled_w)) if throttled_w else spec.power_cap_w
    if len(terms) < 2 * len(TERMS):
        return RuntimeModel(capped_w, 0.0, (0.0,) * len(TERMS))
    matrix, target = np.array(terms), np.array(targets)
    centre, scale = matrix.mean(axis=0), np.maximum(matrix.std(axis=0), 1e-9)
    standard = (matrix - centre) / scale
    inner = standard.T @ standard + _SHRINKAGE * np.eye(len(TERMS))
    slopes = np.linalg.solve(inner, standard.T @ (target - target.mean())) / scale
    return RuntimeModel(capped_w, float(target.mean() - centre @ slopes), tuple(map(float, slopes)))


def _terms(placed: Placement, run: RuntimeFeatures, execution: str) -> FloatArray:
    # A run that took less than its work was predicted to take had faster kernels, which cost less too; one that took
    # longer waited. Two terms, since the one says nothing about the other.
    log_longer = float(np.log(run.duration_s / max(float(placed.busy_s.sum()), 1e-9)))
    return np.array([
        np.clip(log_longer, -1.0, 0.0),
        np.clip(log_longer, 0.0, 1.5),
        run.gpu_utilization_pct / 100.0,
        run.memory_utilization_pct / 100.0,
        float(execution == "eager"),
    ])  # fmt: skip
