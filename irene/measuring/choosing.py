"""Which of many cases to measure: those unlike what is known, or some spread evenly over what they cost."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np

from irene.hardware.roofline import compute_s, memory_s, roofline_s
from irene.hardware.spec import DeviceSpec
from irene.measuring.plan import PrimitiveCase
from irene.primitives.call import Call, TensorSpec
from irene.primitives.kinds import kind_of
from irene.primitives.work import count_work

Point: TypeAlias = "tuple[float, ...]"
_DIMENSIONS, _TENSORS = 5, 3
_COLD_DOUBLINGS = 3.0  # how far apart the same call lies with hot and with cold weights
_NOTHING = TensorSpec((), (), "bfloat16")
_OF_ANOTHER_KIND = 4.0  # doublings
_LEAST_S, _FURTHEST = 1e-9, 8.0


def pick_unlike(
    cases: list[PrimitiveCase], count: int, known: Iterable[Point], rng: random.Random
) -> list[PrimitiveCase]:
    """So many cases, each the farthest from those picked before and from what is known: what teaches most comes first.

    Far is meant in doublings of sizes; a case that is known to the last size is not picked.
    """
    left = rng.sample(cases, len(cases))
    points = [point_of(case.call, case.weights) for case in left]
    distance = [min((math.dist(point, other) for other in known), default=math.inf) for point in points]
    picked: list[PrimitiveCase] = []
    while left and len(picked) < count:
        at = max(range(len(left)), key=distance.__getitem__)
        if distance[at] == 0.0:
            break
        picked.append(left[at])
        distance = [min(far, math.dist(points[at], point)) for far, point in zip(distance, points, strict=True)]
    return picked


def point_of(call: Call, weights: str) -> Point:
    """Where a call lies: doublings of the sizes of its first tensors, and whether its weights are cold."""
    sizes: list[float] = [_COLD_DOUBLINGS * (weights == "cold")]
    for spec in (*call.tensors, *[_NOTHING] * _TENSORS)[:_TENSORS]:
        logs = [math.log2(size + 1) for size in spec.shape[-_DIMENSIONS:]]
        sizes += [*[0.0] * (_DIMENSIONS - len(logs)), *logs]
    return tuple(sizes)


def spread(cases: list[PrimitiveCase], count: int, spec: DeviceSpec, rng: random.Random) -> list[PrimitiveCase]:
    """So many cases, evenly spread over their roofline time: one at random from each of `count` equal slices."""
    count = min(count, len(cases))
    ranked = sorted(cases, key=lambda case: roofline_s(count_work(case.call), case.dtype, spec))
    edges = [index * len(ranked) // count for index in range(count + 1)] if count else []
    return [ranked[rng.randrange(start, end)] for start, end in zip(edges, edges[1:], strict=False)]


def pick_central(
    cases: list[PrimitiveCase], count: int, spec: DeviceSpec, rng: random.Random, most_seen: int = 400
) -> list[PrimitiveCase]:
    """So many cases, each in the middle of others: together they lie as near to all as few can.

    Near is meant in the roofline time on `spec`, in arithmetic against memory, in rows, and in kind and dtype. Each is
    the one that shortens the sum of distances most (k-medoids, greedily). Of more than `most_seen`, some are drawn.
    """
    seen = cases if len(cases) <= most_seen else rng.sample(cases, most_seen)
    placed = [_place(case, spec) for case in seen]
    points, kinds = np.array([point for point, _ in placed]), [kind for _, kind in placed]
    of_another_kind = np.array([[one != other for other in kinds] for one in kinds])
    apart = np.sqrt(((points[:, None] - points[None, :]) ** 2).sum(axis=2)) + _OF_ANOTHER_KIND * of_another_kind
    nearest = np.full(len(seen), np.inf)
    picked: list[int] = []
    for _ in range(min(count, len(seen))):
        left = np.minimum(nearest, apart).sum(axis=1)
        left[picked] = np.inf
        picked.append(int(left.argmin()))
        nearest = np.minimum(nearest, apart[picked[-1]])
    return [seen[at] for at in picked]


def _place(case: PrimitiveCase, spec: DeviceSpec) -> tuple[Point, tuple[str, str]]:
    """Where a case lies on a device, in doublings, and what its kernels are."""
    work = count_work(case.call)
    compute, memory = max(compute_s(work, case.dtype, spec), _LEAST_S), max(memory_s(work, spec), _LEAST_S)
    rows = max(1, math.prod(case.call.tensors[0].shape[:-1])) if case.call.tensors else 1
    ridge = max(-_FURTHEST, min(_FURTHEST, math.log2(compute / memory)))
    place = (math.log2(max(compute, memory)), ridge, 0.5 * math.log2(rows), _COLD_DOUBLINGS * (case.weights == "cold"))
    return place, (kind_of(case.call), case.dtype)
