"""The slope recovers known joules per call from jittered counters, and refuses what is no measurement."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irene.errors import MeterError, NoMeasurement
from irene.measuring.slope import CallCount, Sample, compute_slope, find_ticks
from irene.meters import SimulatedMeter, VirtualClock

SEEDS = st.integers(0, 2**32 - 1)


def make_ticks(
    energy_at: Callable[[float], float], rng: random.Random, length_s: float, period_s: float = 0.1
) -> list[Sample]:
    """The oracle's counter: exact energies at jittered times."""
    times = [rng.uniform(0, period_s)]
    while times[-1] < length_s:
        times.append(times[-1] + period_s * rng.uniform(0.75, 1.26))
    return [(t, energy_at(t)) for t in times]


def make_log(call_s: float, rng: random.Random, length_s: float) -> list[CallCount]:
    """Back-to-back calls of a fixed length, synchronised at random intervals."""
    log: list[CallCount] = [(0.0, 0)]
    while log[-1][0] < length_s:
        calls = log[-1][1] + max(1, round(rng.uniform(0.013, 0.029) / call_s))
        log.append((calls * call_s, calls))
    return log


@given(SEEDS, st.floats(20, 1000), st.floats(5e-6, 0.045))
@settings(max_examples=60, deadline=None)
def test_constant_power_is_recovered_exactly(seed: int, power_w: float, call_s: float) -> None:
    rng = random.Random(seed)
    ticks, log = make_ticks(lambda t: 17.0 + power_w * t, rng, 1.6), make_log(call_s, rng, 1.6)
    result = compute_slope(ticks, log, long_calls=False)
    assert result.energy_j == pytest.approx(power_w * call_s, rel=1e-6)
    assert result.duration_s == pytest.approx(call_s, rel=1e-6)
    assert result.energy_j == pytest.approx(result.power_w * result.duration_s, rel=1e-12)
    assert result.ticks >= 10 and result.window_s > 0.9


@given(SEEDS, st.floats(0.0, 1.0), st.floats(1e-4, 0.04))
@settings(max_examples=60, deadline=None)
def test_periodic_power_within_short_calls_is_recovered(seed: int, depth: float, call_s: float) -> None:
    """P(t) swings once a call; the oracle is its integral over one call, 400 W times the call."""
    rng = random.Random(seed)
    omega = 2 * math.pi / call_s
    ticks = make_ticks(lambda t: 400 * (t + depth * math.sin(omega * t) / omega), rng, 1.6)
    result = compute_slope(ticks, make_log(call_s, rng, 1.6), long_calls=False)
    assert result.energy_j == pytest.approx(400 * call_s, rel=2 * depth * call_s / math.pi + 1e-6)


@given(SEEDS, st.floats(0.06, 0.9))
@settings(max_examples=60, deadline=None)
def test_long_calls_are_cut_at_their_boundaries(seed: int, call_s: float) -> None:
    """Half of each call at 700 W, half at 100 W: whole calls are right to what one tick interval can hide."""
    rng = random.Random(seed)

    def energy_at(t: float) -> float:
        calls, rest_s = divmod(t, call_s)
        return calls * call_s * 400 + 700 * min(rest_s, call_s / 2) + 100 * max(0.0, rest_s - call_s / 2)

    length_s = max(2.4, 10 * call_s) + 3 * call_s
    log = [(i * call_s, i) for i in range(int(length_s / call_s))]
    result = compute_slope(make_ticks(energy_at, rng, length_s), log, long_calls=True)
    assert result.calls == round(result.calls) and result.calls >= 10 and result.window_s >= 2.0
    assert result.duration_s == pytest.approx(call_s, rel=1e-9)
    # A chord between ticks 126 ms apart misses a step of 600 W by a quarter of both, at each end.
    assert result.energy_j == pytest.approx(400 * call_s, abs=2 * 600 * 0.126 / 4 / result.calls)


def test_a_fixed_interval_resonates_with_a_counter_that_samples_and_a_random_one_does_not() -> None:
    """A counter that multiplies a sampled power by time: each synchronisation idles for 10 % of it, at 100 of 700 W."""

    def measure_bias(draw_interval_s: Callable[[], float]) -> float:
        starts: list[float] = []
        time_s = 0.0
        while time_s < 60.0:
            starts.append(time_s)
            time_s += draw_interval_s()
        edges = [*starts, time_s]
        sampled_j, exact_j, i = 0.0, 0.0, 0
        for k in range(int(starts[-1] / 0.1)):
            now_s = (k + 1) * 0.1 + 1e-4
            while edges[i + 1] <= now_s:
                i += 1
            sampled_j += 0.1 * (100 if now_s - edges[i] < 0.1 * (edges[i + 1] - edges[i]) else 700)
            exact_j += 0.1 * 640
        return sampled_j / exact_j - 1

    rng = random.Random(1)
    assert abs(measure_bias(lambda: 0.02)) > 0.08
    assert abs(measure_bias(lambda: rng.uniform(0.013, 0.029))) < 0.03


@given(st.floats(0.8, 1.2), st.floats(-1e6, 1e6))
@settings(max_examples=20, deadline=None)
def test_offset_does_not_matter_and_gain_does(gain: float, offset_j: float) -> None:
    rng = random.Random(3)
    ticks = make_ticks(lambda t: offset_j + gain * 300 * t, rng, 1.6)
    assert compute_slope(ticks, make_log(1e-3, rng, 1.6), long_calls=False).energy_j == pytest.approx(
        gain * 0.3, rel=1e-6
    )


def test_too_few_ticks_name_the_numbers() -> None:
    ticks = [(0.1 * i, 30.0 * i) for i in range(5)]
    with pytest.raises(NoMeasurement, match=r"5 counter ticks \(at least 10\), 0\.400 s .* 120\.000 J"):
        compute_slope(ticks, [(0.0, 0), (1.0, 100)], long_calls=False)


@pytest.mark.parametrize("long_calls", [False, True])
@pytest.mark.parametrize(
    ("ticks", "log"),
    [
        ([], [(0.0, 0), (3.0, 100)]),
        ([(0.1 * i, 5.0) for i in range(40)], [(0.0, 0), (1.0, 12), (2.0, 24), (3.0, 36)]),  # no energy
        ([(0.1 * i, 5.0 * i) for i in range(40)], [(0.0, 7), (1.0, 7), (3.0, 7)]),  # no call
        ([(0.1 * i, 5.0 * i) for i in range(40)], []),
    ],
)
def test_no_difference_is_an_error_and_never_zero(ticks: list[Sample], log: list[CallCount], long_calls: bool) -> None:
    with pytest.raises(NoMeasurement):
        compute_slope(ticks, log, long_calls=long_calls)


def test_long_calls_need_ten_calls_and_two_seconds() -> None:
    ticks = [(0.1 * i, 5.0 * i) for i in range(60)]
    with pytest.raises(NoMeasurement, match=r"9\.0 calls \(at least 10"):
        compute_slope(ticks, [(0.5 * i, i) for i in range(10)], long_calls=True)
    with pytest.raises(NoMeasurement, match=r"1\.800 s \(at least 2\.000"):
        compute_slope(ticks, [(0.1 * i, i) for i in range(19)], long_calls=True)


def test_a_counter_that_wraps_is_refused() -> None:
    clock = VirtualClock()
    meter = SimulatedMeter(lambda t: 300.0, clock=clock, wrap_j=100.0)
    samples: list[Sample] = []
    while clock() < 1.5:
        samples.append((clock(), meter.read_energy_j()))
    with pytest.raises(MeterError, match="ran backwards"):
        compute_slope(find_ticks(samples), [(0.0, 0), (1.5, 100)], long_calls=False)


def test_ticks_are_estimated_in_the_middle_and_blurred_ones_are_left_out() -> None:
    samples = [(0.004 * i, float(i // 25)) for i in range(200)]
    exact = find_ticks(samples)
    assert [t for t, _ in exact] == pytest.approx([0.004 * i - 0.002 for i in range(25, 200, 25)])
    held_up = [s for s in samples if not 0.28 < s[0] < 0.32]  # the thread stood still around the tick at 0.3 s
    assert find_ticks(held_up) == tuple(t for t in exact if abs(t[0] - 0.298) > 1e-6)
