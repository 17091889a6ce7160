"""The steady state of repeated calls, against a loop that simulates many of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irene.predictor.timeline import run_timeline

TIMES = st.floats(0.0, 10.0).map(lambda value: round(value, 3))
CALLS = st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=12)


def simulate(
    host_s: list[float], gpu_s: list[float], laps: int = 40, waits: list[bool] | None = None
) -> tuple[float, list[float]]:
    """One queue, event by event: the duration of a late lap, and the wait before each of its kernels."""
    issued, free, lap_end = 0.0, 0.0, 0.0
    for _ in range(laps):
        gaps, lap_start = [], lap_end
        for host, gpu, is_waited_for in zip(host_s, gpu_s, waits or [False] * len(host_s), strict=True):
            issued += host
            start = max(issued, free)
            gaps.append(start - free)
            free = start + gpu
            issued = max(issued, free) if is_waited_for else issued
        lap_end = free
    return lap_end - lap_start, gaps


@settings(deadline=None)
@given(CALLS)
def test_equals_the_simulation(calls: list[tuple[float, float]]) -> None:
    host_s, gpu_s = [c[0] for c in calls], [c[1] for c in calls]
    if 0 < sum(gpu_s) - sum(host_s) < 1 or 0 < sum(host_s) - sum(gpu_s) < 1:
        host_s[0] += 2.0 + abs(sum(gpu_s) - sum(host_s))  # near a tie, forty laps may not be enough to settle
    timeline = run_timeline(np.array(host_s), np.array(gpu_s))
    duration_s, gap_s = simulate(host_s, gpu_s)
    assert timeline.duration_s == pytest.approx(duration_s, abs=1e-6)
    np.testing.assert_allclose(timeline.gap_s, gap_s, atol=1e-6)


@settings(deadline=None)
@given(CALLS, st.lists(st.booleans(), min_size=12, max_size=12))
def test_values_read_back_empty_the_queue(calls: list[tuple[float, float]], reads: list[bool]) -> None:
    host_s, gpu_s, waits = [c[0] for c in calls], [c[1] for c in calls], reads[: len(calls)]
    waits[-1] |= not any(waits)
    timeline = run_timeline(np.array(host_s), np.array(gpu_s), np.array(waits))
    duration_s, gap_s = simulate(host_s, gpu_s, waits=waits)
    assert timeline.duration_s == pytest.approx(duration_s, abs=1e-6)
    np.testing.assert_allclose(timeline.gap_s, gap_s, atol=1e-6)
    assert timeline.duration_s >= run_timeline(np.array(host_s), np.array(gpu_s)).duration_s - 1e-9


@given(CALLS)
def test_gaps_fill_what_the_gpu_leaves(calls: list[tuple[float, float]]) -> None:
    host_s, gpu_s = np.array(calls).T
    timeline = run_timeline(host_s, gpu_s)
    assert timeline.duration_s == max(host_s.sum(), gpu_s.sum())
    assert (timeline.gap_s >= 0).all()
    assert timeline.gap_s.sum() == pytest.approx(timeline.duration_s - gpu_s.sum(), abs=1e-9)


def test_work_left_in_the_queue_shortens_the_next_wait() -> None:
    """The second kernel runs on while the next lap's first is issued: no wait there, by hand."""
    timeline = run_timeline(np.array([1.0, 10.0]), np.array([0.1, 9.5]))
    np.testing.assert_allclose(timeline.gap_s, [0.0, 1.4])


def test_a_tree_without_leaves_takes_no_time() -> None:
    timeline = run_timeline(np.zeros(0), np.zeros(0))
    assert (timeline.duration_s, timeline.gap_s.shape) == (0.0, (0,))
