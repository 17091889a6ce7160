"""How the energy counter behaves on its own: how often it is updated, and what the device draws when idle."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from itertools import pairwise

from irene.errors import MeterError, NoMeasurement, NotSupported
from irene.measuring.slope import Sample, compute_slope, find_ticks
from irene.meters.reading import Meter

MIN_POLL_S = 0.001  # where a read is quicker than on the virtual machine seen, polling faster tells nothing more


def read_counter_j(meter: Meter) -> float:
    """Read the energy counter, J. Raises MeterError for a reading that is no number, or below 0."""
    energy_j = meter.read_energy_j()
    if not 0 <= energy_j < math.inf:
        raise MeterError(f"The energy counter of {meter.name} reads {energy_j} J, which is no energy. Measure again.")
    return energy_j


def has_counter(meter: Meter) -> bool:
    """Whether the device counts joules at all: some, as Pascal's, tell their power alone."""
    try:
        read_counter_j(meter)
    except NotSupported:
        return False
    return True


def measure_counter_period(
    meter: Meter,
    *,
    ticks: int = 20,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> tuple[float, float]:
    """Measure the counter: (median time between its updates, median time of one read), both in s; about 2 s long.

    Raises NoMeasurement if it does not tick.
    """
    samples, reads_s = _poll(meter, 0.0, ticks + 1, clock, sleep)
    times_s = [tick[0] for tick in find_ticks(samples)]
    return statistics.median(b - a for a, b in pairwise(times_s)), statistics.median(reads_s)


def measure_idle_power(
    meter: Meter,
    seconds: float = 2.0,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> float:
    """Measure the power while nothing is called, W, from the counter's first tick to its last.

    Raises NoMeasurement if the counter ticks less than ten times.
    """
    samples, _ = _poll(meter, seconds, 11, clock, sleep)
    # The whole time counts as one call, so that the rules and the errors are those of every other window.
    return compute_slope(find_ticks(samples), [(samples[0][0], 0), (samples[-1][0], 1)], long_calls=False).power_w


def _poll(
    meter: Meter, seconds: float, ticks: int, clock: Callable[[], float], sleep: Callable[[float], None]
) -> tuple[list[Sample], list[float]]:
    samples: list[Sample] = []
    reads_s: list[float] = []
    # A change seen late, between two polls far apart, is no tick: where that happens it takes more of them.
    changes, found, start_s = 0, 0, clock()
    while found < ticks or clock() - start_s < seconds:
        time_s = clock()
        energy_j = read_counter_j(meter)
        reads_s.append(clock() - time_s)
        changed = bool(samples) and energy_j != samples[-1][1]
        changes += changed
        samples.append((time_s, energy_j))
        if changed and changes >= ticks:
            found = len(find_ticks(samples))
        if time_s - start_s > seconds + 6.0 + 0.3 * ticks:
            found, waited_s = len(find_ticks(samples)), time_s - start_s
            raise NoMeasurement(f"{meter.name}: only {found} counter ticks in {waited_s:.1f} s, expected {ticks}.")
        if reads_s[-1] < MIN_POLL_S:
            sleep(MIN_POLL_S)
    return samples, reads_s
