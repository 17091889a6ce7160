"""Waiting for the clock, without a GPU: the probe and the rest are stand-ins."""

from __future__ import annotations

from irene.measuring.bursts import wait_for_clock


def test_waits_until_the_clock_is_up() -> None:
    readings, rests = iter([1.5e9, 1.6e9, 1.95e9]), list[float]()
    assert wait_for_clock(lambda: next(readings), 1.98e9, rests.append) == 1.95e9
    assert len(rests) == 2 and min(rests) > 0


def test_a_clock_that_stays_down_is_told_not_waited_for_for_ever() -> None:
    rests: list[float] = []
    assert wait_for_clock(lambda: 1.2e9, 1.98e9, rests.append) == 1.2e9
    assert 0.1 < sum(rests) < 1.0
