"""The thread that reads the energy counter beside the calls, and the board's state when a tick is far."""

from __future__ import annotations

import threading
from collections.abc import Callable

from irene.measuring.counter import MIN_POLL_S, read_counter_j
from irene.measuring.slope import Sample
from irene.meters.reading import DeviceState, Meter

_FIRST_STATE_TICK = 4  # utilisation is an average of up to 1 s: before, it still contains the time before the calls


class CounterThread(threading.Thread):
    """Polls the counter; after a fresh tick, when the next one is far, it reads the state and then rests."""

    def __init__(self, meter: Meter, clock: Callable[[], float], state_cost_s: float) -> None:
        super().__init__(name="irene-meter", daemon=True)
        self.samples: list[Sample] = []
        self.states: list[DeviceState] = []
        self.changes = 0
        self.window_start_s: float | None = None
        self._error: BaseException | None = None
        self._stopped = threading.Event()
        self._meter, self._clock, self._state_cost_s = meter, clock, state_cost_s

    def __enter__(self) -> CounterThread:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self.join(timeout=10.0)  # a driver that hangs must not hang the caller too; the thread is a daemon

    def check(self) -> None:
        """Raise in the caller's thread what went wrong in this one."""
        if self._error is not None:
            raise self._error

    def run(self) -> None:
        try:
            self._poll()
        except BaseException as error:  # handed over by check()
            self._error = error

    def _poll(self) -> None:
        meter, clock, samples = self._meter, self._clock, self.samples
        last_tick_s, shortest_s, in_window = 0.0, float("inf"), 0
        while not self._stopped.is_set():
            time_s = clock()
            energy_j = read_counter_j(meter)
            samples.append((time_s, energy_j))
            if len(samples) == 1 or energy_j == samples[-2][1]:
                if clock() - time_s < MIN_POLL_S:
                    self._stopped.wait(MIN_POLL_S)
                continue
            self.changes += 1
            if self.changes > 1:
                shortest_s = min(shortest_s, time_s - last_tick_s)
            last_tick_s = time_s
            if self.window_start_s is not None:
                in_window += 1
                if in_window >= _FIRST_STATE_TICK and in_window % 2 == 0 and self._has_time(shortest_s):
                    self.states.append(meter.read_state())
                    self._state_cost_s = min(self._state_cost_s, clock() - time_s)
            if self.changes > 3:  # polling before the next tick can come only takes the interpreter from the calls
                self._stopped.wait(max(0.0, last_tick_s + 0.6 * shortest_s - clock()))

    def _has_time(self, shortest_s: float) -> bool:
        # Where a state takes too long to be ready for the next tick, one is read nevertheless: it costs one tick.
        return not self.states or self._state_cost_s < 0.6 * shortest_s
