"""The counter alone: how often it ticks, idle power, and readings that no board gives."""

from __future__ import annotations

import itertools
import math
import re
import time

import pytest

from irene.errors import MeterError, NoMeasurement
from irene.measuring.counter import measure_counter_period, measure_idle_power
from irene.measuring.power_checks import note_on_power
from irene.measuring.window import measure_window
from irene.meters import DeviceState, SimulatedMeter, VirtualClock


def test_counter_period_and_idle_power_on_a_virtual_clock() -> None:
    clock = VirtualClock()
    meter = SimulatedMeter(lambda t: 119.5, clock=clock, update_period_s=0.1)
    period_s, read_s = measure_counter_period(meter, clock=clock, sleep=clock.sleep)
    assert period_s == pytest.approx(0.1, rel=0.1) and read_s == pytest.approx(0.0035)
    assert measure_idle_power(meter, 3.0, clock=clock, sleep=clock.sleep) == pytest.approx(119.5, rel=5e-3)


def test_idle_power_waits_for_enough_ticks_where_the_polling_is_held_up() -> None:
    clock = VirtualClock()
    meter = SimulatedMeter(lambda t: 119.5, clock=clock, read_duration_s=0.0)
    naps = itertools.count(1)

    def sleep(_: float) -> None:  # a busy machine: a rest in twenty takes 30 ms; four changes in ten are seen late
        clock.sleep(0.03 if next(naps) % 20 == 0 else 0.002)

    assert measure_idle_power(meter, 0.5, clock=clock, sleep=sleep) == pytest.approx(119.5, rel=0.03)


def test_a_counter_that_stands_still_gives_up() -> None:
    clock = VirtualClock()
    meter = SimulatedMeter(lambda t: 0.0, clock=clock)
    with pytest.raises(NoMeasurement, match="only 0 counter ticks"):
        measure_counter_period(meter, clock=clock, sleep=clock.sleep)


class Odd(SimulatedMeter):
    """A counter that reads what is no energy, now and then."""

    def __init__(self, reading_j: float, clock: VirtualClock) -> None:
        super().__init__(lambda t: 300.0, clock=clock)
        self.reading_j, self.reads = reading_j, 0

    def read_energy_j(self) -> float:
        self.reads += 1
        return self.reading_j if self.reads % 7 == 0 else super().read_energy_j()


@pytest.mark.parametrize("reading_j", [math.nan, math.inf, -1.0])
def test_a_reading_that_is_no_energy_is_an_error(reading_j: float) -> None:
    with pytest.raises(MeterError, match="which is no energy"):
        measure_window(lambda: time.sleep(1e-3), lambda: None, Odd(reading_j, time.monotonic))  # type: ignore[arg-type]
    clock = VirtualClock()
    with pytest.raises(MeterError, match="which is no energy"):
        measure_idle_power(Odd(reading_j, clock), clock=clock, sleep=clock.sleep)


def test_a_power_that_no_board_draws_is_an_error() -> None:
    clock = VirtualClock()
    with pytest.raises(MeterError, match="W over .*no board draws more than 5000 W"):
        measure_idle_power(SimulatedMeter(lambda t: 40_000.0, clock=clock), clock=clock, sleep=clock.sleep)


@pytest.mark.parametrize(("counted", "note"), [(1.0, ""), (1.2, ""), (1.45, r"\+45 % off"), (0.55, "-45 % off")])
def test_a_counter_that_the_power_reading_does_not_bear_out_is_noted(counted: float, note: str) -> None:
    meter = SimulatedMeter(lambda t: 400.0)
    state = DeviceState(power_w=400.0)
    said = note_on_power(meter, counted * 400.0, state, 1.6)
    assert (re.search(note, said) if note else said == "") and ("power reading of 400 W" in said) == bool(note)
    assert note_on_power(meter, counted * 400.0, state, 0.9) == ""  # the reading still has the time before
    assert note_on_power(meter, counted * 400.0, DeviceState(), 1.6) == ""
