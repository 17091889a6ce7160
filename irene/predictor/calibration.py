"""A predictor for a device that a few points were measured on: the transferred one, and what the points say of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from irene.arrays import FloatArray
from irene.hardware.spec import DeviceSpec
from irene.leaves.correction import LeafCorrection
from irene.leaves.learn_correction import Points, learn_correction
from irene.leaves.transferred import TransferredLeaves
from irene.model_tree.tree import ModelTree
from irene.predictor.predictor import Predictor
from irene.predictor.tiers import intervals_of_tier
from irene.predictor.transfer import transfer

_HALVINGS = 20
_ALIKE, _FEWEST_ALIKE = 0.04, 3  # a capped board holds its power to a hundredth, and a window tells it to one
_MOST_LOG_FACTOR = 1.0  # whole models move the joules of all by a factor of e at most


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What was learned on a device: `points` primitives, of which `metered` with energy, and `models` whole models.

    `spec` is the sheet with its highest clock; with a locked one, `sm_clock_hz`. `power_cap_w` and `idle_w` (with a
    context) are what the board showed, None where it is not known. `source` is the digest of the bundle that all is
    said of.
    """

    spec: DeviceSpec
    sm_clock_hz: float | None
    power_cap_w: float | None
    idle_w: float | None
    correction: LeafCorrection
    points: int
    metered: int
    models: int
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class MeteredModel:
    """A whole model as it was measured."""

    tree: ModelTree
    energy_j: float


def apply_calibration(measured: Predictor, calibration: Calibration) -> Predictor:
    """The predictor of the calibrated device. Raises BadInput as `transfer`."""
    seen = as_seen(calibration.spec, calibration.power_cap_w, calibration.idle_w)
    carried = transfer(measured, seen, calibration.sm_clock_hz)
    assert isinstance(carried.leaves, TransferredLeaves)
    what = f"{calibration.points} points and {calibration.models} models"
    return replace(
        carried,
        info=replace(carried.info, name=f"{carried.info.name}, calibrated on {what}"),
        leaves=replace(carried.leaves, correction=calibration.correction),
        intervals=intervals_of_tier(calibration.points, calibration.models),
    )


def learn_calibration(
    measured: Predictor, spec: DeviceSpec, points: Points, models: Sequence[MeteredModel], source: str,
    sm_clock_hz: float | None = None, idle_w: float | None = None,
) -> Calibration:  # fmt: skip
    """Learn from primitives first, then from whole models by which factor joules are still off."""
    power_cap_w = find_cap_w(points.energy_j / points.duration_s)
    carried = transfer(measured, as_seen(spec, power_cap_w, idle_w), sm_clock_hz)
    assert isinstance(carried.leaves, TransferredLeaves)
    correction = learn_correction(carried.leaves, points)
    if models:
        correction = replace(correction, joules_log=_fit_models(carried, correction, models))
    metered = int(np.isfinite(points.energy_j).sum())
    counts = (len(points.burst_s), metered, len(models))
    return Calibration(spec, sm_clock_hz, power_cap_w, idle_w, correction, *counts, source)


def find_cap_w(power_w: FloatArray) -> float | None:
    """The power cap that a board shows, by the watts of calls in a loop: what its thirstiest ones have in common.

    None where too few of them draw the same: then the cap was not met, and the sheet's stands.

    >>> find_cap_w(np.array([80.0, 126.1, 104.0, 125.2, 125.8, np.nan]))
    125.8
    """
    known = power_w[np.isfinite(power_w)]
    if not len(known):
        return None
    together = known[known >= (1.0 - _ALIKE) * known.max()]
    return float(np.median(together)) if len(together) >= _FEWEST_ALIKE else None


def as_seen(spec: DeviceSpec, power_cap_w: float | None, idle_w: float | None) -> DeviceSpec:
    """The sheet with the cap and the idle power that the board showed, where they are known and can be true."""
    cap_w = power_cap_w or spec.power_cap_w
    known_w = idle_w or spec.context_idle_power_w
    idle_w = known_w if spec.idle_power_w <= known_w < cap_w else spec.context_idle_power_w
    return replace(spec, power_cap_w=max(cap_w, 1.01 * idle_w), context_idle_power_w=idle_w)


def _fit_models(carried: Predictor, correction: LeafCorrection, models: Sequence[MeteredModel]) -> float:
    """The log factor of joules beside idle power by which the models' joules are right in the median."""
    assert isinstance(carried.leaves, TransferredLeaves)
    low, high = -_MOST_LOG_FACTOR, _MOST_LOG_FACTOR
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        leaves = replace(carried.leaves, correction=replace(correction, joules_log=middle))
        tried = replace(carried, leaves=leaves)
        off = statistics.median(math.log(tried.predict(model.tree).energy_j / model.energy_j) for model in models)
        low, high = (middle, high) if off < 0 else (low, middle)
    return (low + high) / 2.0
