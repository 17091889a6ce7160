"""A meter without a device: it integrates a given power the way a GPU's energy counter does, faults included."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable
from dataclasses import replace

from irene.errors import NotSupported
from irene.meters.reading import DeviceState

_STEP_S = 1e-3  # of the midpoint rule, where no exact energy is given
_JITTER = (0.75, 1.26)  # updates of an H200's counter come 75 to 126 ms apart, median 100


class VirtualClock:
    """Time that passes only when somebody sleeps, so that tests of seconds take microseconds.

    >>> clock = VirtualClock()
    >>> clock.sleep(0.5)
    >>> clock()
    0.5
    """

    def __init__(self, now_s: float = 0.0) -> None:
        self.now_s = now_s

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, duration_s: float) -> None:
        """Let `duration_s` seconds pass."""
        self.now_s += max(0.0, duration_s)


class SimulatedMeter:
    """The counter of a device that draws `power_w(t)` W, t in s since the meter was built.

    The counter takes a new value at jittered intervals around `update_period_s` and keeps it in between; it reads
    `offset_j + gain * energy`, rounded down to `resolution_j`, modulo `wrap_j`. The power reading is an average over
    `averaging_s`. Where `power_w` is costly or steep, `energy_at(t)`, its exact integral from 0 in J, replaces the
    numerical one. Each read takes `read_duration_s`. With `supports_energy=False` the counter raises NotSupported.

    >>> clock = VirtualClock()
    >>> meter = SimulatedMeter(lambda t: 300.0, clock=clock, jitter=(1.0, 1.0))
    >>> clock.sleep(1.0)
    >>> round(meter.read_energy_j(), 6)
    300.0
    """

    def __init__(
        self,
        power_w: Callable[[float], float],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] | None = None,
        update_period_s: float = 0.1,
        jitter: tuple[float, float] = _JITTER,
        read_duration_s: float = 0.0035,
        gain: float = 1.0,
        offset_j: float = 0.0,
        wrap_j: float | None = None,
        supports_energy: bool = True,
        averaging_s: float = 1.0,
        resolution_j: float = 1e-3,
        energy_at: Callable[[float], float] | None = None,
        state: DeviceState | None = None,
        seed: int = 0,
        name: str = "simulated",
    ) -> None:
        self.power_w = power_w
        self.energy_at = energy_at
        self.update_period_s = update_period_s
        self.jitter = jitter
        self.read_duration_s = read_duration_s
        self.gain = gain
        self.offset_j = offset_j
        self.wrap_j = wrap_j
        self.supports_energy = supports_energy
        self.averaging_s = averaging_s
        self.resolution_j = resolution_j
        self.state = state if state is not None else _BUSY
        self._name = name
        self._clock = clock
        # A virtual clock brings its own way to wait; real time passes with time.sleep.
        self._sleep: Callable[[float], None] = sleep if sleep is not None else getattr(clock, "sleep", time.sleep)
        self._random = random.Random(seed)
        self._start_s = clock()
        self._updated_s = 0.0
        self._energy_j = 0.0
        self._next_update_s = self._draw_period_s()

    @property
    def name(self) -> str:
        return self._name

    def read_energy_j(self) -> float:
        """Read the counter, J, as of its last update."""
        if not self.supports_energy:
            raise NotSupported(f"{self._name} has no energy counter.")
        self._sleep(self.read_duration_s / 2)
        now_s = self._clock() - self._start_s
        while self._next_update_s <= now_s:
            self._energy_j += self._integrate_j(self._updated_s, self._next_update_s)
            self._updated_s = self._next_update_s
            self._next_update_s += self._draw_period_s()
        # A millionth of a step keeps sums such as 0.1 + 0.2 on their own step.
        steps = math.floor((self.offset_j + self.gain * self._energy_j) / self.resolution_j + 1e-6)
        reading_j = steps * self.resolution_j
        self._sleep(self.read_duration_s / 2)
        return reading_j if self.wrap_j is None else reading_j % self.wrap_j

    def read_power_w(self) -> float:
        """Read the power, W: the average over the last `averaging_s`, or since the meter was built if that is less."""
        self._sleep(self.read_duration_s)
        now_s = self._clock() - self._start_s
        span_s = min(self.averaging_s, now_s)
        if span_s <= 0:
            return self.gain * self.power_w(now_s)
        return self.gain * self._integrate_j(now_s - span_s, now_s) / span_s

    def read_state(self) -> DeviceState:
        """Read the state given at the start, with the power of now."""
        return replace(self.state, power_w=self.read_power_w())

    def close(self) -> None:
        """Nothing to give back."""

    def _integrate_j(self, start_s: float, end_s: float) -> float:
        if self.energy_at is not None:
            return self.energy_at(end_s) - self.energy_at(start_s)
        count = max(1, math.ceil((end_s - start_s) / _STEP_S))
        step_s = (end_s - start_s) / count
        return step_s * sum(self.power_w(start_s + (i + 0.5) * step_s) for i in range(count))

    def _draw_period_s(self) -> float:
        return self.update_period_s * self._random.uniform(*self.jitter)


_BUSY = DeviceState(
    gpu_utilization_pct=100.0,
    memory_utilization_pct=40.0,
    sm_clock_hz=1.98e9,
    memory_clock_hz=3.2e9,
    temperature_c=45.0,
    throttle_reasons=0,
    memory_used_bytes=2**30,
)
