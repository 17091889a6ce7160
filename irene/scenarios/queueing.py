"""One server and a queue: when each instance is served, in the order of arrival, alone or in dynamic batches.

Nothing here knows where service times come from: the predictor's, measured ones, or a law of a textbook.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from irene.arrays import FloatArray, IntArray

Service = Callable[[int, int], float]
"""Seconds that the instances from the first number up to, not with, the second take together."""


@dataclass(frozen=True, slots=True, eq=False)
class Served:
    """Batches in order: the first instance of each, how many it has, when it began and ended; arrays of one length."""

    starts: IntArray
    sizes: IntArray
    began_s: FloatArray
    ended_s: FloatArray

    @property
    def busy_s(self) -> float:
        """Seconds in which the server served."""
        return float((self.ended_s - self.began_s).sum())

    @property
    def instance_ended_s(self) -> FloatArray:
        """When each instance was done."""
        return np.repeat(self.ended_s, self.sizes)

    @property
    def instance_began_s(self) -> FloatArray:
        """When the service of each instance began."""
        return np.repeat(self.began_s, self.sizes)


def serve_one_by_one(arrival_s: FloatArray, service_s: FloatArray) -> Served:
    """Each instance alone, first come, first served.

    Lindley's recursion W' = max(0, W + S - A), unrolled: a wait is how far the sum of S - A stands above its least.

    >>> served = serve_one_by_one(np.array([0.0, 1.0, 5.0]), np.array([2.0, 2.0, 1.0]))
    >>> served.began_s.tolist()
    [0.0, 2.0, 5.0]
    """
    steps = np.concatenate([[0.0], service_s[:-1] - np.diff(arrival_s)])
    walk = np.cumsum(steps)
    wait_s = walk - np.minimum.accumulate(np.minimum(walk, 0.0))
    began_s = arrival_s + wait_s
    count = len(arrival_s)
    return Served(np.arange(count), np.ones(count, dtype=np.int64), began_s, began_s + service_s)


def next_batch(arrival_s: Sequence[float], head: int, free_s: float, most: int, window_s: float) -> tuple[float, int]:
    """When the next batch begins, and which instance is the first that is not in it.

    The server is free from `free_s` on, and instances before `head` are done. A batch begins as soon as `most` wait, or
    as the first of them has waited for `window_s`; then it takes all that wait, up to `most`.

    >>> next_batch([0.0, 0.1, 0.2, 9.0], 0, 0.0, most=8, window_s=0.15)
    (0.15, 2)
    """
    full = head + most - 1
    closes_s = arrival_s[head] + window_s
    if full < len(arrival_s):
        closes_s = min(closes_s, arrival_s[full])
    begin_s = max(free_s, closes_s)
    return begin_s, min(bisect_right(arrival_s, begin_s, head), head + most)


def serve_in_batches(arrival_s: FloatArray, most: int, window_s: float, service: Service) -> Served:
    """Dynamic batches, as `next_batch` cuts them; the same rule cuts a stream that is measured."""
    times: list[float] = arrival_s.tolist()
    head, free_s = 0, 0.0
    starts, sizes, began, ended = [], [], [], []
    while head < len(times):
        begin_s, after = next_batch(times, head, free_s, most, window_s)
        free_s = begin_s + service(head, after)
        starts.append(head)
        sizes.append(after - head)
        began.append(begin_s)
        ended.append(free_s)
        head = after
    return Served(np.array(starts), np.array(sizes), np.array(began), np.array(ended))


def serve_back_to_back(sizes: IntArray, service_s: FloatArray) -> Served:
    """Batches of a closed scenario: each begins as the one before ends."""
    ended_s = np.cumsum(service_s)
    return Served(np.cumsum(sizes) - sizes, sizes, ended_s - service_s, ended_s)


def mean_in_system(arrival_s: FloatArray, ended_s: FloatArray) -> float:
    """Mean number of instances that wait or are served, from time 0 to the last end: by counting heads over time.

    Little's law says that it is the arrivals in a second times the mean time that one stays; this does not use it.
    """
    times = np.concatenate([arrival_s, ended_s])
    steps = np.concatenate([np.ones(len(arrival_s)), -np.ones(len(ended_s))])
    order = np.argsort(times, kind="stable")
    times, heads = times[order], np.cumsum(steps[order])
    return float((heads[:-1] * np.diff(times)).sum() / times[-1])
