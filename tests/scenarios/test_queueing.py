"""The queue against textbooks: M/D/1's mean wait, Little's law, Lindley's recursion step by step, batches by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irene.scenarios.queueing import (
    Served,
    mean_in_system,
    next_batch,
    serve_back_to_back,
    serve_in_batches,
    serve_one_by_one,
)
from tests.turns import fewest_turns

SERVICE_S = 0.01


def _arrivals(rate: float, count: int, seed: int = 0) -> np.ndarray:
    return np.cumsum(np.random.default_rng(seed).exponential(1 / rate, count))


@pytest.mark.parametrize("load", [0.3, 0.5, 0.8])
def test_mean_wait_is_that_of_m_d_1(load: float) -> None:
    """Pollaczek and Khinchine: load x service / (2 (1 - load))."""
    arrival_s = _arrivals(load / SERVICE_S, 1_000_000)
    served = serve_one_by_one(arrival_s, np.full(len(arrival_s), SERVICE_S))
    assert (served.began_s - arrival_s).mean() == pytest.approx(load * SERVICE_S / (2 * (1 - load)), rel=0.03)
    assert served.busy_s / served.ended_s[-1] == pytest.approx(load, rel=0.01)
    _expect_littles_law(arrival_s, served)


def test_a_million_requests_take_no_time() -> None:
    """As long as 2.5 million turns of a loop; 0.6 to 0.7 were measured, and a step of Python's each takes 6."""
    arrival_s, service_s = _arrivals(0.5 / SERVICE_S, 1_000_000), np.full(1_000_000, SERVICE_S)
    assert fewest_turns(lambda: serve_one_by_one(arrival_s, service_s), enough=2.5e6) < 2.5e6


def _expect_littles_law(arrival_s: np.ndarray, served: Served) -> None:
    stays_s = served.instance_ended_s - arrival_s
    rate = len(arrival_s) / served.ended_s[-1]
    assert mean_in_system(arrival_s, served.instance_ended_s) == pytest.approx(rate * stays_s.mean(), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0.001, 2)), min_size=1, max_size=40))
def test_lindley_unrolled_is_lindley_step_by_step(pairs: list[tuple[float, float]]) -> None:
    gaps, service = (np.array(column) for column in zip(*pairs, strict=True))
    arrival_s, free_s, began = np.cumsum(gaps), 0.0, []
    for at, takes in zip(arrival_s, service, strict=True):
        began.append(max(at, free_s))
        free_s = began[-1] + takes
    served = serve_one_by_one(arrival_s, service)
    np.testing.assert_allclose(served.began_s, began, atol=1e-9)
    alone = serve_in_batches(arrival_s, 1, 0.0, lambda first, after: float(service[first]))
    np.testing.assert_allclose(alone.began_s, began, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(0, 0.5), min_size=1, max_size=60), st.integers(1, 9), st.floats(0, 0.7), st.floats(0.001, 1.5)
)
def test_batches_keep_the_rules(gaps: list[float], most: int, window_s: float, service_s: float) -> None:
    arrival_s = np.cumsum(gaps)
    served = serve_in_batches(arrival_s, most, window_s, lambda first, after: service_s)
    assert served.sizes.sum() == len(arrival_s) and served.sizes.min() >= 1 and served.sizes.max() <= most
    assert (served.instance_began_s >= arrival_s).all()
    assert (served.began_s[1:] >= served.ended_s[:-1] - 1e-12).all()
    if len(arrival_s) > 1 and arrival_s[-1] > 0:
        _expect_littles_law(arrival_s, served)


def test_a_batch_begins_when_it_is_full_or_its_window_is_over() -> None:
    times = [0.0, 0.1, 0.2, 0.3]
    assert next_batch(times, 0, 0.0, most=2, window_s=5.0) == (0.1, 2)
    assert next_batch(times, 0, 0.0, most=9, window_s=0.25) == (0.25, 3)
    assert next_batch(times, 1, 0.35, most=9, window_s=0.0) == (0.35, 4)
    assert next_batch(times, 2, 0.0, most=9, window_s=0.0) == (0.2, 3)


def test_closed_batches_leave_no_gap() -> None:
    served = serve_back_to_back(np.array([2, 2, 1]), np.array([1.0, 2.0, 0.5]))
    assert served.began_s.tolist() == [0.0, 1.0, 3.0] and served.starts.tolist() == [0, 2, 4]
    assert served.busy_s == served.ended_s[-1] == 3.5
