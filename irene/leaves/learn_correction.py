"""A correction from measured points: times first, then the joules that explain what was metered, then times again.

A burst tells time, as the cap has hardly answered; where only a loop was timed, the loop does. Joules are those that
would make the board draw what was metered in the time that was measured: below the cap that shows as power, at the cap
as time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irene.arrays import FloatArray
from irene.leaves.correction import Carried, LeafCorrection
from irene.leaves.leaf_table import LeafTable
from irene.leaves.residual import MOST_LOG, LogResidual, fit_residual, see_calls
from irene.leaves.transferred import TransferredLeaves

_ROUNDS = 3  # times depend on the cap, which depends on the joules
_HALVINGS = 30


@dataclass(frozen=True, slots=True, eq=False)
class Points:
    """Primitives measured alone on a device, one a row of `table`; nan where a quantity was not measured.

    `burst_s` and `duration_s` are seconds of a burst and in a loop; `energy_j` are joules a call in that loop.
    """

    table: LeafTable
    burst_s: FloatArray
    duration_s: FloatArray
    energy_j: FloatArray


def learn_correction(leaves: TransferredLeaves, points: Points) -> LeafCorrection:
    """What `points` say of `leaves`, which have no correction yet. Rows that launch nothing are left out."""
    carried = leaves.carry(points.table)
    slowing = leaves.settle(carried)[1].slowing
    known = points.table.launches & ~(np.isnan(points.burst_s) & np.isnan(points.duration_s))
    metered = known & ~np.isnan(points.energy_j)
    seen, kernels = see_calls(points.table, slowing), np.array(points.table.regressors)
    time: LogResidual | None = None
    joules: LogResidual | None = None
    log_j = np.zeros(len(known))
    for _ in range(_ROUNDS):
        log_s = _time_logs(leaves, carried, points, log_j)
        if known.any():
            time = fit_residual(seen[known], kernels[known].tolist(), log_s[known])
        if metered.any():
            own = _joule_logs(leaves, carried, points, np.where(known, log_s, 0.0))
            joules = fit_residual(seen[metered], kernels[metered].tolist(), own[metered])
            log_j = joules.predict(seen, kernels.tolist())
    return LeafCorrection(time, joules)


def _time_logs(leaves: TransferredLeaves, carried: Carried, points: Points, log_j: FloatArray) -> FloatArray:
    """Log of measured over predicted seconds, joules being what is known of them so far."""
    burst_s, sustained = leaves.settle(carried.scaled(np.zeros(len(log_j)), log_j))
    is_burst = ~np.isnan(points.burst_s)
    measured = np.where(is_burst, points.burst_s, points.duration_s)
    predicted = np.where(is_burst, burst_s, sustained.duration_s)
    return np.log(np.maximum(measured, 1e-12) / np.maximum(predicted, 1e-12))


def _joule_logs(leaves: TransferredLeaves, carried: Carried, points: Points, log_s: FloatArray) -> FloatArray:
    """Logs by which joules beside idle power have to change for each row to cost what was metered: by halving."""
    low, high = np.full(len(log_s), -MOST_LOG), np.full(len(log_s), MOST_LOG)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        too_low = leaves.settle(carried.scaled(log_s, middle))[1].energy_j < points.energy_j
        low, high = np.where(too_low, middle, low), np.where(too_low, high, middle)
    found: FloatArray = (low + high) / 2.0
    return found
