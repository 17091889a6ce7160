"""Voltage and idle power at a clock below the highest: why a slower board saves joules."""

from __future__ import annotations

import numpy as np

from irene.arrays import FloatArray

# The voltage stays where it is up to some 1.0 GHz, and rises in a straight line from there to the highest clock. Of an
# A100 it is at 78 % below 1.02 of 1.41 GHz (694 mV and 894), and its idle power goes from 67 to 47 W meanwhile; an
# H100's goes from 120 W at 1.98 GHz to 72 below 1 GHz, which by the same exponent is a voltage of 69 %. Both are from
# yifueve/energaizer-ispass26-artifact, config/dvfs; chips of other clocks are taken to lie on the curve through both.
_FLAT_HZ = 1.0e9
_FLAT_VOLTAGE, _OF_CLOCK_HZ, _CLOCK_EXPONENT = 694 / 894, 1.41e9, 0.33
_STATIC_EXPONENT = 1.4  # of the voltage: 0.78 ** 1.4 is 47 / 67
_HIGHEST_FLAT_CLOCK = 0.9  # of the highest clock, where that is hardly above the flat part


def voltage(clock: FloatArray, max_clock_hz: float) -> FloatArray:
    """The voltage at a share of the highest clock, as a share of the highest voltage.

    >>> voltage(np.array([0.5, 1.0]), 1.41e9).round(2).tolist()
    [0.78, 1.0]
    """
    flat_clock, flat = _corner(max_clock_hz)
    return np.maximum(flat, 1.0 - (1.0 - flat) * (1.0 - clock) / (1.0 - flat_clock))


def static_share(clock: FloatArray, max_clock_hz: float) -> FloatArray:
    """What is left of the power of an idle board at a share of the highest clock."""
    share: FloatArray = voltage(clock, max_clock_hz) ** _STATIC_EXPONENT
    return share


def _corner(max_clock_hz: float) -> tuple[float, float]:
    """(clock, voltage) below which the voltage does not fall, as shares of the highest."""
    lowest = min(_FLAT_VOLTAGE * (_OF_CLOCK_HZ / max_clock_hz) ** _CLOCK_EXPONENT, 1.0)
    return min(_FLAT_HZ / max_clock_hz, _HIGHEST_FLAT_CLOCK), lowest
