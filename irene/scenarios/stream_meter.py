"""Joules of a stream from a counter that ticks now and then, idle gaps included, and of idling before it.

    tick        start                                        end      tick
     |-- idle --|--------------- the stream -----------------|-- idle --|
     t0                                                                 t1
    energy = E(t1) - E(t0) - idle power x (what of t0 to t1 is not the stream)

The stream begins right after a tick, and its end is waited over to the next one: at most 0.1 s of idling is taken off.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

from irene.errors import MeterError, NoMeasurement
from irene.measuring.counter import measure_idle_power
from irene.measuring.counter_thread import CounterThread
from irene.measuring.slope import find_ticks
from irene.meters import Meter, NvmlMeter, RaplMeter

_FEWEST_TICKS = 10
_LONGEST_WAIT_S = 2.0
_IDLE_S = 1.5


@dataclass(frozen=True, slots=True)
class StreamEnergy:
    """Gross joules of a stream, what idling draws beside it, and how often the counter ticked meanwhile."""

    energy_j: float
    idle_power_w: float
    ticks: int
    memory_used_bytes: int | None


class StreamMeter(AbstractContextManager["StreamMeter"]):
    """Reads a counter beside a stream: `begin` waits for a tick, `finish` for the next one and gives the joules.

    Idle power is measured as it is entered: by then, what is to be measured should be loaded.
    """

    def __init__(self, meter: Meter, clock: Callable[[], float] = time.monotonic, idle_s: float = _IDLE_S) -> None:
        self.meter, self._clock, self._idle_s = meter, clock, idle_s
        self.idle_power_w = 0.0
        self._start_s = 0.0

    def __enter__(self) -> StreamMeter:
        before = self.meter.read_state().memory_used_bytes
        self._memory_before = before
        self.idle_power_w = measure_idle_power(self.meter, self._idle_s, clock=self._clock)
        self._reader = CounterThread(self.meter, self._clock, state_cost_s=0.0)
        self._reader.window_start_s = self._clock()
        self._reader.start()
        return self

    def __exit__(self, *raised: object) -> None:
        self._reader.__exit__(*raised)

    def begin(self) -> None:
        """Return right after a tick whose time is known well."""
        self._await_tick(0.0)
        self._start_s = self._clock()

    def finish(self) -> StreamEnergy:
        """The joules from `begin` until now. Raises NoMeasurement where the counter ticked less than ten times."""
        end_s = self._clock()
        self._await_tick(end_s)
        self._reader.check()
        ticks = find_ticks(self._reader.samples)
        before = [tick for tick in ticks if tick[0] <= self._start_s]
        after = [tick for tick in ticks if tick[0] >= end_s]
        inside = len(ticks) - len(before) - len(after)
        if not before or not after or inside < _FEWEST_TICKS:
            raise NoMeasurement(
                f"{self.meter.name}: {inside} counter ticks in {end_s - self._start_s:.3f} s of the stream, expected "
                f"{_FEWEST_TICKS} and one on either side. Measure a longer stream."
            )
        (first_s, first_j), (last_s, last_j) = before[-1], after[0]
        idle_s = (last_s - first_s) - (end_s - self._start_s)
        energy_j = last_j - first_j - self.idle_power_w * idle_s
        if energy_j <= 0:
            raise NoMeasurement(
                f"{self.meter.name}: the counter rose by {last_j - first_j:.3f} J, no more than idling."
            )
        used = [state.memory_used_bytes for state in self._reader.states if state.memory_used_bytes is not None]
        return StreamEnergy(energy_j, self.idle_power_w, inside, max(used, default=None))

    def _await_tick(self, after_s: float) -> None:
        """Wait for a tick past `after_s`; where the counter does not tick, not for long."""
        last_s = self._clock() + _LONGEST_WAIT_S
        seen = self._reader.changes
        while self._clock() < last_s:
            self._reader.check()
            if self._reader.changes > seen:
                seen = self._reader.changes
                ticks = find_ticks(self._reader.samples)
                if ticks and ticks[-1][0] > after_s:
                    return
            time.sleep(0.0005)


def open_meters() -> tuple[dict[str, Meter], tuple[str, ...]]:
    """The counters of this machine by 'gpu' and 'cpu', and why one is not there. What is not there is no error."""
    found: dict[str, Meter] = {}
    missing = []
    for name, opening in (("gpu", NvmlMeter), ("cpu", RaplMeter)):
        try:
            meter: Meter = opening()
            meter.read_energy_j()
            found[name] = meter
        except MeterError as problem:
            missing.append(f"energy of the {name} not measured: {problem}")
    return found, tuple(missing)
