"""The window: calls back to back while a thread reads the energy counter; energy, time and power of one call.

```
 |-- warm-up >= 0.5 s --|-------------- window >= 1.0 s and >= 10 counter ticks --------------|
 calls back to back ...... calls back to back, synchronised now and then, (time, calls) logged
                          ^ first tick inside                              ^ last tick inside
```

A tick is a new value of the counter; how joules follow from ticks is in `slope.py`.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import repeat
from operator import or_

from irene.errors import NoMeasurement
from irene.measuring.counter import read_counter_j
from irene.measuring.counter_thread import CounterThread
from irene.measuring.power_checks import note_on_power
from irene.measuring.slope import LONG_CALL_S, LONG_CALLS_MIN, LONG_WINDOW_S, Log, compute_slope, find_ticks
from irene.meters.reading import Meter

SYNCHRONISE_S = (0.013, 0.029)  # drawn at random between: a fixed interval could resonate with the counter's updates


@dataclass(frozen=True, slots=True)
class WindowMeasurement:
    """One window: per call the energy, duration and power; beside them the runtime features, None if not offered.

    Clocks and utilisations are means of states read inside the window, throttle reasons are OR-ed, memory is the
    largest. `host_cpu_pct` is this process's CPU time over wall time: 100 is one busy core. `note` says what is odd
    about the joules: a counter that the power reading does not bear out, or one of more than the board.
    """

    energy_j: float
    duration_s: float
    power_w: float
    calls: float
    window_s: float
    ticks: int
    gpu_utilization_pct: float | None
    memory_utilization_pct: float | None
    sm_clock_hz: float | None
    memory_clock_hz: float | None
    throttle_reasons: int | None
    temperature_before_c: float | None
    temperature_after_c: float | None
    memory_used_bytes: int | None
    host_cpu_pct: float
    note: str = ""


def measure_window(
    call: Callable[[], object],
    synchronize: Callable[[], object],
    meter: Meter,
    *,
    warm_up_s: float = 0.5,
    window_s: float = 1.0,
    min_ticks: int = 10,
    calls_per_call: int = 1,
    clock: Callable[[], float] = time.monotonic,
    rng: random.Random | None = None,
) -> WindowMeasurement:
    """Measure `call` in steady state: J, s and W per call (divided by `calls_per_call`, for a graph of many kernels).

    `synchronize` waits for the device. The first call is not part of the warm-up, as libraries initialise in it. What
    `call` raises, Ctrl-C too, is passed on after the reading thread has ended. Raises NoMeasurement if the counter does
    not yield a window in time, NotSupported without a counter. A short case takes 1.6 to 1.9 s.

    >>> from irene.meters import SimulatedMeter
    >>> meter = SimulatedMeter(lambda t: 300.0)
    >>> measured = measure_window(lambda: time.sleep(1e-3), lambda: None, meter)     # doctest: +SKIP
    >>> round(measured.power_w)                                                      # doctest: +SKIP
    300
    """
    rng = rng if rng is not None else random.Random()
    before_s = clock()
    before = meter.read_state()
    read_counter_j(meter)  # raises here, not in the thread, where there is no counter
    reader = CounterThread(meter, clock, state_cost_s=clock() - before_s)
    with reader:
        call()
        synchronize()
        batches = _Batches(call, synchronize, clock, rng)
        begun_s = start_s = clock()
        while clock() - start_s < warm_up_s or len(batches.durations_s) < 2:
            batches.run()
            reader.check()
        long_calls = min(batches.durations_s[-3:]) > LONG_CALL_S
        min_span_s = max(window_s, LONG_WINDOW_S) if long_calls else window_s
        expected_s = max(min_span_s, LONG_CALLS_MIN * batches.durations_s[-1] if long_calls else 0.0)

        cpu_start_s = time.process_time()
        now_s = start_s = reader.window_start_s = clock()
        call_log = [(now_s, batches.calls)]
        tried = reader.changes
        while True:
            changes = batches.run(reader)
            now_s = batches.now_s
            call_log.append((now_s, batches.calls))
            reader.check()
            # One try a tick, and none before the time: between two synchronisations nothing else is done.
            if now_s - start_s < min_span_s or (changes == tried and now_s - start_s <= 6.0 + 3.0 * expected_s):
                continue
            tried = changes
            log = Log(tuple(reader.samples), tuple(call_log))
            try:
                slope = compute_slope(
                    find_ticks(log.samples),
                    log.calls,
                    long_calls=long_calls,
                    min_ticks=min_ticks,
                    min_window_s=min_span_s,
                )
                break
            except NoMeasurement:
                if now_s - start_s > 6.0 + 3.0 * expected_s:
                    raise
        cpu_s = time.process_time() - cpu_start_s
    after = meter.read_state()
    states = reader.states
    masks = [s.throttle_reasons for s in states if s.throttle_reasons is not None]
    used_bytes = [s.memory_used_bytes for s in (*states, after) if s.memory_used_bytes is not None]
    return WindowMeasurement(
        energy_j=slope.energy_j / calls_per_call,
        duration_s=slope.duration_s / calls_per_call,
        power_w=slope.power_w,
        calls=slope.calls * calls_per_call,
        window_s=slope.window_s,
        ticks=slope.ticks,
        gpu_utilization_pct=_mean([s.gpu_utilization_pct for s in states]),
        memory_utilization_pct=_mean([s.memory_utilization_pct for s in states]),
        sm_clock_hz=_mean([s.sm_clock_hz for s in states]),
        memory_clock_hz=_mean([s.memory_clock_hz for s in states]),
        throttle_reasons=reduce(or_, masks) if masks else None,
        temperature_before_c=before.temperature_c,
        temperature_after_c=after.temperature_c,
        memory_used_bytes=max(used_bytes, default=None),
        host_cpu_pct=100.0 * cpu_s / (now_s - start_s),
        note=note_on_power(meter, slope.power_w, after, now_s - begun_s),
    )


class _Batches:
    """Runs calls, as many between two synchronisations as take 13 to 29 ms; no clock is read in between."""

    def __init__(
        self,
        call: Callable[[], object],
        synchronize: Callable[[], object],
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.calls = 0
        self.durations_s: list[float] = []  # of one call, batch by batch
        self.now_s = clock()
        self._call, self._synchronize, self._clock, self._rng = call, synchronize, clock, rng
        self._size = 1

    def run(self, reader: CounterThread | None = None) -> int:
        """Run one batch; returns the ticks that the reader had seen before the batch's end was timed."""
        if self.durations_s:
            wanted = round(self._rng.uniform(*SYNCHRONISE_S) / max(self.durations_s[-1], 1e-9))
            self._size = max(1, min(wanted, 32 * self._size))  # grows in steps: one odd time must not queue for seconds
        call = self._call
        for _ in repeat(None, self._size):
            call()
        self._synchronize()
        changes = reader.changes if reader is not None else 0  # before the clock: these ticks lie inside the log
        start_s, self.now_s = self.now_s, self._clock()
        self.calls += self._size
        self.durations_s.append((self.now_s - start_s) / self._size)
        return changes


def _mean(values: Sequence[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return statistics.fmean(present) if present else None
