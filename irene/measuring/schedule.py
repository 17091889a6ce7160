"""In which order to measure: random, repeats interleaved, a model built once for all its cases of a visit."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace

from irene.account import GPU_BOUND_FROM_PCT
from irene.measuring.plan import GenerationCase, ModelCase, Plan, PrimitiveCase

REPEATS = 3
_CHUNK = 25
# Where in the collection (0 first, 1 last) each repeat may stand: far apart, the first ones before the others, and
# models, whose single runs are the noisiest, before primitives. Timings, a hundred for the price of a window, come
# first: a collection that is cut short has then taught most.
_TIMING_SPAN = (0.0, 0.2)
_MODEL_SPANS = ((0.0, 0.6), (0.6, 0.75), (0.75, 0.9))
_PRIMITIVE_SPANS = ((0.2, 0.6), (0.8, 0.95), (0.9, 1.0))


@dataclass(frozen=True, slots=True)
class Visit:
    """A piece of work: primitives, or cases of one built model. `repeat` counts from 0."""

    repeat: int
    primitives: tuple[PrimitiveCase, ...] = ()
    models: tuple[ModelCase | GenerationCase, ...] = ()


def schedule(plan: Plan) -> list[Visit]:
    """All visits of a plan in a random order that depends on its seed alone."""
    rng = random.Random(plan.seed)
    primitives = [case for case in plan.primitives if case.weights != "host"]
    rng.shuffle(primitives)
    groups: dict[tuple[str, str, str], list[ModelCase | GenerationCase]] = {}
    for case in plan.models:
        groups.setdefault(group_of(case), []).append(case)
    placed: list[tuple[float, Visit]] = []
    # The same place within the span of each repeat: between two repeats of a case there is always other work.
    places: dict[object, float] = {}
    generating = [g for g, cases in groups.items() if any(isinstance(c, GenerationCase) for c in cases)]
    for at, group in enumerate(generating):  # in the plan's order, the quick ones first: they take long, and may be cut
        places[group] = at / len(generating)
    for at in range(0, len(primitives), _CHUNK):
        timings = tuple(replace(case, energy=False) for case in primitives[at : at + _CHUNK])
        placed.append((_within(_TIMING_SPAN, rng.random()), Visit(0, primitives=timings)))
    for repeat in range(REPEATS):
        chosen = [case for case in primitives if case.energy and (repeat == 0 or is_tenth(case.key))]
        for at in range(0, len(chosen), _CHUNK):
            visit = Visit(repeat, primitives=tuple(chosen[at : at + _CHUNK]))
            placed.append((_within(_PRIMITIVE_SPANS[repeat], places.setdefault(at, rng.random())), visit))
        for group, cases in groups.items():
            # A capture that fails can break what comes after it in its process: captures of steps come last.
            drawn = sorted(rng.sample(cases, len(cases)), key=_is_captured_step)
            visit = Visit(repeat, models=tuple(drawn))
            placed.append((_within(_MODEL_SPANS[repeat], places.setdefault(group, rng.random())), visit))
    return [visit for _, visit in sorted(placed, key=lambda item: item[0])]


def _within(span: tuple[float, float], place: float) -> float:
    return span[0] + place * (span[1] - span[0])


def _is_captured_step(case: ModelCase | GenerationCase) -> bool:
    return isinstance(case, GenerationCase) and case.workload.execution == "cuda_graph"


def group_of(case: ModelCase | GenerationCase) -> tuple[str, str, str]:
    """What is built once for many cases: a model of a task in a dtype."""
    return case.model, case.workload.task, case.workload.dtype


def is_tenth(key: str) -> bool:
    """Every tenth case, chosen by its key: the same ones in every run."""
    return int(hashlib.sha256(key.encode()).hexdigest(), 16) % 10 == 0


def needs_repeat(key: str, execution: str, gpu_utilization_pct: float | None) -> bool:
    """Host-bound cases are all repeated, others every tenth."""
    host_bound = execution == "eager" and (gpu_utilization_pct is None or gpu_utilization_pct < GPU_BOUND_FROM_PCT)
    return host_bound or is_tenth(key)
