"""What a primitive costs on a device that nobody measured, from what it costs on one that was.

Time beyond the launch floor goes with the roof: floor + (time there - floor there) x ratio of the two roofs. Joules are
those of arithmetic and of memory there, times what the process and the kind of memory make of them, and static power
times the time. Where that is more power than the board may draw, clock and voltage fall until it is not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from irene.arrays import BoolArray, FloatArray
from irene.hardware.cycles import at_highest_clock, operand_energy
from irene.hardware.roofline import compute_s, memory_s
from irene.hardware.silicon import MEMORY_ENERGY, switching_energy
from irene.hardware.spec import DeviceSpec
from irene.leaves.correction import Carried, LeafCorrection
from irene.leaves.ideal_time import base_duration_s
from irene.leaves.leaf_model import LeafModel, LeafValues
from irene.leaves.leaf_table import LeafTable, make_table
from irene.leaves.voltage import static_share, voltage
from irene.primitives.work import Work, count_work

_NO_FLOOR_S = 1e-15
_HELD_SHARE = 0.4  # of an L2 that serves a loop of one call: with writes, and each half its own part
_L2_BYTES_PER_CLOCK = 32.0  # of each SM: half of what whitepapers promise, about what microbenchmarks reach
_LOWEST_CLOCK = 0.15  # of the highest; below it boards stretch time, and nothing is won
_CLOCKS = 86  # tried between the lowest and the highest: steps of one per cent
_CAPPED_SHARE = 0.95  # of the cap: from here a board is taken to be held by it
# The clock of a burst whose board is held by the cap in a loop, as a power of the clock in that loop: the cap answers
# late. On an H200 large bfloat16 products run at 0.74 of the highest clock in a window and 0.90 in a burst, TF32's at
# 0.77 and 0.90 (medians of 97 and 9 windows, 870 and 552 timings of data/h200; the probe reads 3 % low).
_BURST_EXPONENT = 0.35
# Of the joules that go with bytes, what is spent on the chip, in its own process and at its own voltage: a byte costs
# 87 pJ on an H200 (`RatePower`), of which the memory itself takes some 28.
_ON_CHIP_SHARE = 0.67
# Of the two ways to carry a time over, how much the second counts, and by how much they may differ.
_SHARE_SEEN_HERE, _MOST_MISSED = 0.5, 1.5
# How much of its time a kernel that waits for memory stretches with the clock: caches and queues run at it too.
_MEMORY_BOUND_STRETCH = 0.2


@dataclass(frozen=True, slots=True, eq=False)
class TransferredLeaves:
    """Prices leaves on `spec` by what `measured` knows of `source`; `clock` is the locked share of the highest clock.

    `spec` has the peaks and the idle power of that clock already (`at_clock`). A `correction` is what points that were
    measured on `spec` say of time and joules.
    """

    measured: LeafModel
    source: DeviceSpec
    spec: DeviceSpec
    clock: float = 1.0
    correction: LeafCorrection | None = None

    def predict(self, table: LeafTable) -> LeafValues:
        """Sustained time and power of every row of a table of `spec`'s; rows that launch nothing cost nothing."""
        return self._price(table)[1]

    def predict_burst_s(self, table: LeafTable) -> FloatArray:
        """Seconds of a call in a short burst, before the cap has answered in full."""
        return self._price(table)[0]

    def _price(self, table: LeafTable) -> tuple[FloatArray, LeafValues]:
        """Seconds of a burst, and what a loop takes and draws."""
        carried = self.carry(table)
        if self.correction is not None:
            log_s, log_j = self.correction.predict(table, self.settle(carried)[1].slowing)
            carried = carried.scaled(log_s, log_j)
        return self.settle(carried)

    def carry(self, table: LeafTable) -> Carried:
        """Time and joules of every row at the full clock, before any cap and any correction."""
        there = self._table_there(table)
        values, burst_there_s = self.measured.predict(there), self.measured.predict_burst_s(there)
        clock_there = self._clock_there(there, values, burst_there_s)
        there_s = np.where(clock_there < 1.0, values.duration_s * clock_there, burst_there_s)
        full_s = self._duration_s(table, there_s) * self._as_seen_here(table, there, burst_there_s)
        work = self._work(table, there, values, clock_there, there_s)
        return Carried(np.maximum(full_s, table.least_s), *work, _stretch(table), table.least_s, table.launches)

    def settle(self, carried: Carried) -> tuple[FloatArray, LeafValues]:
        """Seconds of a burst, and what a loop takes and draws, at the clock that keeps to the cap."""
        sustained = self._below_cap(carried)
        burst_s = np.maximum(carried.full_s * sustained.slowing**_BURST_EXPONENT, carried.least_s)
        silent = ~carried.launches
        return np.where(silent, 0.0, burst_s), LeafValues(
            np.where(silent, 0.0, sustained.duration_s),
            np.where(silent, 0.0, sustained.power_w),
            np.where(silent, 1.0, sustained.slowing),
        )

    def _clock_there(self, there: LeafTable, values: LeafValues, burst_s: FloatArray) -> FloatArray:
        """The clock of the measured device in a loop of each call, as a share of its highest.

        Where the cap is reached and arithmetic decides, by how much longer a loop takes than a burst: of a clock c
        that is c to the power of `_BURST_EXPONENT` - 1.
        """
        ratio = np.clip(burst_s / np.maximum(values.duration_s, 1e-15), _LOWEST_CLOCK, 1.0)
        clock = np.maximum(ratio ** (1.0 / (1.0 - _BURST_EXPONENT)), _LOWEST_CLOCK)
        capped = (values.power_w > _CAPPED_SHARE * self.source.power_cap_w) & (_stretch(there) == 1.0)
        return np.where(capped, clock, 1.0)

    def _work(
        self, table: LeafTable, there: LeafTable, values: LeafValues, clock_there: FloatArray, there_s: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Joules of the chip and of the memory, at the highest clock and voltage, and watts of running at all."""
        source_hz, own_hz = self.source.max_sm_clock_hz, self.spec.max_sm_clock_hz / self.clock
        idle_w = self.source.context_idle_power_w
        beside_w = np.maximum(values.power_w - idle_w * static_share(clock_there, source_hz), 0.0)
        dynamic_j = beside_w * values.duration_s / voltage(clock_there, source_hz) ** 2
        arithmetic, memory, running = self.measured.rates.shares(there, np.maximum(there_s, 1e-9))
        process = switching_energy(self.spec.process, own_hz) / switching_energy(self.source.process, source_hz)
        kind = MEMORY_ENERGY[self.spec.memory_kind] / MEMORY_ENERGY[self.source.memory_kind]
        on_tensor_cores = np.char.startswith(table.regressors, "gemm") & (np.array(table.dtypes) != "float32")
        operands = np.where(on_tensor_cores, operand_energy(self.spec) / operand_energy(self.source), 1.0)
        # What runs whatever the kernel does is power, not work: it goes with the size of the board.
        board = self.spec.context_idle_power_w / static_share(np.array(self.clock), own_hz) / idle_w
        return (
            process * dynamic_j * (operands * arithmetic + _ON_CHIP_SHARE * memory),
            kind * dynamic_j * (1.0 - _ON_CHIP_SHARE) * memory,
            board * running * dynamic_j / np.maximum(there_s, 1e-9),
        )

    def _as_seen_here(self, table: LeafTable, there: LeafTable, burst_there_s: FloatArray) -> FloatArray:
        """By how much kernels miss the roof more here than there: other waves, another ridge, another floor.

        The regressors see calls as shares of roofs and waves, so they may be asked of this device's too: another way to
        carry a time over. The geometric mean of both errs less than either. Attention has other kernels elsewhere.
        """
        ratio = np.ones(len(table.calls))
        asked = table.launches & (np.array(table.families) != "attention")
        if asked.any():
            here = self.measured.predict_burst_s(table.take(asked)) / table.base_s[asked]
            ratio[asked] = np.maximum(here, 1e-9) / np.maximum(burst_there_s[asked] / there.base_s[asked], 1e-9)
        bounded: FloatArray = np.clip(ratio, 1.0 / _MOST_MISSED, _MOST_MISSED) ** _SHARE_SEEN_HERE
        return bounded

    @property
    def _spec_there(self) -> DeviceSpec:
        """The device that was measured, with the attention kernels that run on this one."""
        return replace(self.source, kernel_library=self.spec.kernel_library)

    def _table_there(self, table: LeafTable) -> LeafTable:
        """The same calls on the device that was measured."""
        return make_table(table.calls, table.dtypes, [bool(cold) for cold in table.cold], self._spec_there)

    def _duration_s(self, table: LeafTable, there_s: FloatArray) -> FloatArray:
        """Seconds here of calls that take `there_s` on the device that was measured."""
        ratio = _roofs_s(table, self.spec) / _roofs_s(table, self._spec_there)
        beyond_s = np.maximum(there_s - self.source.kernel_floor_s, 0.0)
        return np.maximum(self.spec.kernel_floor_s + beyond_s * ratio, table.least_s)

    def _below_cap(self, carried: Carried) -> LeafValues:
        """What holds at the highest clock, up to the locked one, that keeps to the power cap."""
        clocks = np.linspace(_LOWEST_CLOCK, self.clock, _CLOCKS)[:, None]
        own_hz = self.spec.max_sm_clock_hz / self.clock
        volts = voltage(clocks, own_hz)
        slowing = 1.0 + carried.stretch * (self.clock / clocks - 1.0)
        static_w = self.spec.context_idle_power_w * static_share(clocks, own_hz)
        static_w /= static_share(np.array(self.clock), own_hz)
        dynamic_j = carried.chip_j * volts**2 + carried.memory_j
        power_w = static_w + dynamic_j / np.maximum(carried.full_s * slowing, 1e-12)
        power_w += carried.running_w * volts**2 * clocks
        keeps: BoolArray = power_w <= self.spec.power_cap_w
        at = np.where(keeps.any(axis=0), _CLOCKS - 1 - keeps[::-1].argmax(axis=0), 0)
        rows = np.arange(len(carried.full_s))
        over = np.maximum(power_w[at, rows] / self.spec.power_cap_w, 1.0)  # only where even the lowest clock draws more
        slowed = slowing[at, rows] * over
        return LeafValues(carried.full_s * slowed, np.minimum(power_w[at, rows], self.spec.power_cap_w), slowed)


def at_clock(spec: DeviceSpec, clock: float) -> DeviceSpec:
    """The sheet of a device whose clock is locked at a share of its highest: less arithmetic, less idle power."""
    return replace(
        spec,
        max_sm_clock_hz=spec.max_sm_clock_hz * clock,
        vector_flop_per_s=spec.vector_flop_per_s * clock,
        peaks=tuple((dtype, peak * clock) for dtype, peak in spec.peaks),
        context_idle_power_w=spec.context_idle_power_w * float(static_share(np.array(clock), spec.max_sm_clock_hz)),
    )


def _roofs_s(table: LeafTable, spec: DeviceSpec) -> FloatArray:
    """What ideal kernels would take on `spec` without any floor, shape (rows,); bytes that its L2 holds are faster."""
    roofs_s = []
    fast = at_highest_clock(spec)
    for call, dtype, cold in zip(table.calls, table.dtypes, table.cold, strict=True):
        bare = replace(fast, kernel_floor_s=_NO_FLOOR_S, hbm_bytes_per_s=_bandwidth(count_work(call), bool(cold), spec))
        roofs_s.append(max(base_duration_s(call, dtype, bare), _NO_FLOOR_S))
    return np.array(roofs_s, dtype=np.float64)


def _bandwidth(work: Work, is_cold: bool, spec: DeviceSpec) -> float:
    """Bytes a second of one call in a loop: cold weights come from memory, the rest as far as the L2 cannot hold it."""
    traffic_bytes = max(work.traffic_bytes, 1)
    cold_bytes = work.weight_bytes if is_cold else 0
    missing = max(0.0, 1.0 - _HELD_SHARE * spec.l2_bytes / traffic_bytes)
    memory_bytes = cold_bytes + missing * max(traffic_bytes - cold_bytes, 0)
    l2_bytes_per_s = _L2_BYTES_PER_CLOCK * spec.sm_count * spec.max_sm_clock_hz
    seconds = memory_bytes / spec.hbm_bytes_per_s + max(traffic_bytes - memory_bytes, 0.0) / l2_bytes_per_s
    return traffic_bytes / seconds


def _stretch(table: LeafTable) -> FloatArray:
    """Share of each row's time that goes with the clock: all where arithmetic decides, little where memory does."""
    spec = table.spec
    works = [count_work(call) for call in table.calls]
    compute = np.array([compute_s(work, dtype, spec) for work, dtype in zip(works, table.dtypes, strict=True)])
    memory = np.array([memory_s(work, spec) for work in works])
    return np.where(compute > memory, 1.0, _MEMORY_BOUND_STRETCH)
