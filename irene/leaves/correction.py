"""What points that were measured on a device say of a prediction for it that was carried over from another one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from irene.arrays import BoolArray, FloatArray
from irene.leaves.leaf_table import LeafTable
from irene.leaves.residual import LogResidual, see_calls


@dataclass(frozen=True, slots=True, eq=False)
class Carried:
    """Rows on the other device: seconds at the locked clock, joules of chip and memory at the highest clock and volts.

    `running_w` is drawn whatever a kernel does; `stretch` is the share of the time that goes with the clock.
    """

    full_s: FloatArray
    chip_j: FloatArray
    memory_j: FloatArray
    running_w: FloatArray
    stretch: FloatArray
    least_s: FloatArray
    launches: BoolArray

    def scaled(self, log_s: FloatArray, log_j: FloatArray) -> Carried:
        """The same with other times, and other joules of all that is not idle power."""
        times, joules = np.exp(log_s), np.exp(log_j)
        return replace(
            self,
            full_s=np.maximum(self.full_s * times, self.least_s),
            chip_j=self.chip_j * joules,
            memory_j=self.memory_j * joules,
            running_w=self.running_w * joules / times,
        )


@dataclass(frozen=True, slots=True, eq=False)
class LeafCorrection:
    """What measured points say of time and of joules; `joules_log` holds for all, and may be all that is known."""

    time: LogResidual | None = None
    joules: LogResidual | None = None
    joules_log: float = 0.0

    def predict(self, table: LeafTable, slowing: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Logs by which the time and the joules of each row are to be multiplied, before the cap."""
        none = np.zeros(len(table.calls))
        if self.time is None and self.joules is None:
            return none, none + self.joules_log
        seen = see_calls(table, slowing)
        log_s, log_j = (
            none if residual is None else residual.predict(seen, table.regressors)
            for residual in (self.time, self.joules)
        )
        return log_s, log_j + self.joules_log
