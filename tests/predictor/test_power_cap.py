"""One clock for a whole: what a mean power below, between and above the cap does to leaves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irene.hardware.devices import load_device
from irene.leaves.leaf_model import LeafValues
from irene.predictor.power_cap import share_clock

SPEC = load_device("h200")
CAP_W = SPEC.power_cap_w


def values(duration_s: list[float], power_w: list[float], slowing: list[float]) -> LeafValues:
    return LeafValues(np.array(duration_s), np.array(power_w), np.array(slowing))


# A product at the cap, slowed by a quarter, and a copy that draws half of it.
MIXED = values([1e-3, 1e-3], [CAP_W, CAP_W / 2], [1.25, 1.0])


def mean_power_w(leaves: LeafValues, counts: np.ndarray) -> float:
    return float(counts @ leaves.energy_j / (counts @ leaves.duration_s))


def test_alone_a_leaf_stays_as_it_was_measured() -> None:
    alone = values([1e-3], [CAP_W], [1.25])
    running = share_clock(alone, np.array([7.0]), 0.0, SPEC)
    np.testing.assert_allclose(running.duration_s, alone.duration_s, rtol=1e-6)
    np.testing.assert_allclose(running.power_w, alone.power_w, rtol=1e-6)


def test_among_modest_neighbours_it_runs_at_full_clock() -> None:
    running = share_clock(MIXED, np.array([1.0, 9.0]), 0.0, SPEC)
    np.testing.assert_allclose(running.duration_s, [1e-3 / 1.25, 1e-3])
    assert running.power_w[0] > CAP_W and running.power_w[1] == CAP_W / 2


def test_idle_time_counts_as_a_modest_neighbour() -> None:
    alone, count = values([1e-3], [CAP_W], [1.25]), np.array([1.0])
    assert share_clock(alone, count, 10e-3, SPEC).duration_s[0] == pytest.approx(1e-3 / 1.25)


@given(share=st.floats(0.0, 1.0), slowing=st.floats(1.0, 1.5))
def test_the_mean_keeps_to_the_cap_and_time_lies_between(share: float, slowing: float) -> None:
    counts = np.array([share, 1.0 - share])
    alone = values([1e-3, 1e-3], [CAP_W, 0.8 * CAP_W], [slowing, 1.0])
    running = share_clock(alone, counts, 0.0, SPEC)
    assert mean_power_w(running, counts) <= CAP_W * (1 + 1e-6)
    assert 1e-3 / slowing * (1 - 1e-9) <= running.duration_s[0] <= 1e-3 * (1 + 1e-9)
    assert running.duration_s[1] == pytest.approx(1e-3)


def test_silent_leaves_stay_silent() -> None:
    running = share_clock(values([0.0, 1e-3], [0.0, 300.0], [1.0, 1.0]), np.array([5.0, 1.0]), 0.0, SPEC)
    assert running.duration_s[0] == running.power_w[0] == 0.0
