"""A generation -> a Prediction whose first level are its phases: each in a steady state of its own, summed at the root.

Decode steps are priced at a few contexts. Between two of them what the GPU does and what the host does go straight from
one to the other, and who waits for whom is worked out at many contexts: a step's time has a kink, its parts have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from irene.account import PARTS
from irene.arrays import FloatArray
from irene.hardware.spec import DeviceSpec
from irene.model_tree.tree import ModelTree, Node
from irene.passes.counted import Pass
from irene.passes.generation import Generation
from irene.predictor.attribution import attribute, share_provenance
from irene.predictor.bounds import name_bounds
from irene.predictor.node_intervals import name_provenance
from irene.predictor.node_values import PROVENANCES, NodeValues
from irene.predictor.pipeline import Learned, PricedPass, price_passes
from irene.predictor.steady_state import Placement, place_between, sum_placements

# Contexts at which a step is worked out, at most; between them it is taken to go straight.
_WORKED_OUT = 33


@dataclass(frozen=True, slots=True, eq=False)
class PricedGeneration:
    """The tree of a generation with the values of its nodes, and which share of its energy has which provenance."""

    tree: ModelTree
    values: NodeValues
    shares: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class _Phase:
    root: Node
    values: NodeValues
    provenance: tuple[str, ...]
    energy_j: FloatArray  # of its leaves


@dataclass(frozen=True, slots=True, eq=False)
class _Several:
    """`count` steps (steps between two contexts count for both) and the work of each leaf of one."""

    placed: Placement
    flop: FloatArray
    traffic_bytes: FloatArray
    count: float


def price_generation(learned: Learned, generation: Generation) -> PricedGeneration:
    """Price every phase of a generation; pure arithmetic, no torch."""
    (phases,) = _price_phases(learned, [generation])
    parameters = max(phase.root.parameters for phase in phases)
    root = Node("model", "", "generate", tuple(phase.root for phase in phases), None, 0, parameters)
    shares = _shares_of(phases)
    tree = replace(generation.opening[0].tree, root=root)
    return PricedGeneration(tree, _join([phase.values for phase in phases], shares, learned.spec), shares)


def price_generations(learned: Learned, generations: Sequence[Generation]) -> list[PricedGeneration]:
    """As `price_generation` of each, the trees cut below their phases."""
    found = []
    for generation, phases in zip(generations, _price_phases(learned, generations), strict=True):
        shares = _shares_of(phases)
        roots = tuple(replace(phase.root, children=()) for phase in phases)
        tree = replace(generation.opening[0].tree, root=Node("model", "", "generate", roots))
        values = _join([_first_of(phase.values) for phase in phases], shares, learned.spec)
        found.append(PricedGeneration(tree, values, shares))
    return found


def _price_phases(learned: Learned, generations: Sequence[Generation]) -> list[list[_Phase]]:
    """The phases of each generation, all passes priced together."""
    passes: list[Pass] = []
    for generation in generations:
        passes += generation.opening
        passes += [Pass(step.tree, 1, "decode", step.becomes) for step in generation.steps]
    priced, found, at = price_passes(learned, passes), [], 0
    for generation in generations:
        middle, end = at + len(generation.opening), at + len(generation.opening) + len(generation.steps)
        phases = [_Phase(p.of.tree.root, p.values, p.provenance, p.placed.energy_j) for p in priced[at:middle]]
        found.append([*phases, *_price_steps(learned, generation, priced[middle:end])])
        at = end
    return found


def _shares_of(phases: Sequence[_Phase]) -> dict[str, float]:
    provenance = [name for phase in phases for name in phase.provenance]
    return share_provenance(provenance, np.concatenate([phase.energy_j for phase in phases]))


def _first_of(values: NodeValues) -> NodeValues:
    return NodeValues(**{f.name: getattr(values, f.name)[:1] for f in fields(NodeValues)})


def _price_steps(learned: Learned, generation: Generation, priced: Sequence[PricedPass]) -> list[_Phase]:
    """One phase for each form of a step: mostly one in all."""
    if not generation.steps:
        return []
    contexts = np.array([step.context_len for step in generation.steps], dtype=np.float64)
    forms = [step.form for step in generation.steps]
    found: dict[int, list[_Several]] = {}
    for context, count in zip(*count_steps(generation.first_context, generation.step_count, contexts), strict=True):
        high = min(int(np.searchsorted(contexts, context)), len(contexts) - 1)
        low = max(high - 1, 0) if context < contexts[high] else high
        if forms[low] != forms[high]:  # too close together for a third: each step is as the nearer one
            low = high = low if context - contexts[low] < contexts[high] - context else high
        width = contexts[high] - contexts[low]
        share = float((context - contexts[low]) / width) if width else 0.0
        first, second = priced[low].placed, priced[high].placed
        placed = place_between(first, second, share, learned.spec)
        flop, traffic_bytes = ((1 - share) * a + share * b for a, b in zip(_work(first), _work(second), strict=True))
        found.setdefault(forms[high], []).append(_Several(placed, flop, traffic_bytes, float(count)))
    return [
        _sum_form(learned, steps, priced[forms.index(form)], number)
        for number, (form, steps) in enumerate(found.items())
    ]


def _sum_form(learned: Learned, steps: Sequence[_Several], like: PricedPass, number: int) -> _Phase:
    """Steps of one form as one phase, the calls of which are shown as those of `like`."""
    counts = [several.count for several in steps]
    whole = sum_placements([several.placed for several in steps], counts)
    values = attribute(whole, like.provenance, like.distance, learned.intervals, learned.spec)
    flat = whole.leaves.flat
    flop = np.sum([several.count * several.flop for several in steps], axis=0)
    traffic_bytes = np.sum([several.count * several.traffic_bytes for several in steps], axis=0)
    values = replace(values, flop=flat.sum_up(flop), traffic_bytes=flat.sum_up(traffic_bytes))
    root = replace(flat.nodes[0], count=round(sum(counts)), call_index=number)
    return _Phase(root, values, like.provenance, whole.energy_j)


def _work(placed: Placement) -> tuple[FloatArray, FloatArray]:
    table, at = placed.leaves.table, placed.leaves.row_of_leaf
    return table.flop[at], table.traffic_bytes[at]


def count_steps(first: int, count: int, traced: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Contexts at which steps are worked out, and how many steps each stands for: `count` in all, from `first` on.

    A step between two of them counts for both, by how near it is.

    >>> at, counts = count_steps(100, 3, np.array([100.0, 102.0]))
    >>> at.tolist(), counts.tolist()
    ([100.0, 101.0, 102.0], [1.0, 1.0, 1.0])
    """
    steps = np.arange(first, first + count, dtype=np.float64)
    even = steps[np.unique(np.linspace(0, count - 1, min(count, _WORKED_OUT)).round().astype(np.int64))]
    inside = traced[(traced >= steps[0]) & (traced <= steps[-1])]
    at = np.union1d(even, inside)
    high = np.clip(np.searchsorted(at, steps), 0, len(at) - 1)
    low = np.maximum(high - 1, 0)
    width = np.where(high > low, at[high] - at[low], 1.0)
    share = np.where(high > low, (steps - at[low]) / width, 1.0)
    counts = np.bincount(high, share, len(at)) + np.bincount(low, 1.0 - share, len(at))
    return at.astype(np.float64), counts.astype(np.float64)


def _join(phases: Sequence[NodeValues], shares: dict[str, float], spec: DeviceSpec) -> NodeValues:
    """The values of all nodes, the root first: it sums its phases."""
    names = [f.name for f in fields(NodeValues) if f.name not in ("provenance", "bound")]
    roots = {name: np.array([sum(float(getattr(v, name)[0]) for v in phases)]) for name in names}
    parts = {part: roots[f"{part}_j"] for part in PARTS}
    bound = name_bounds(spec, roots["energy_j"], roots["duration_s"], parts)
    joules = np.array([[shares[name] for name in PROVENANCES]]) * roots["energy_j"]
    arrays = {name: np.concatenate([roots[name], *(getattr(v, name) for v in phases)]) for name in names}
    return NodeValues(
        **arrays,
        provenance=(*name_provenance(joules), *(word for v in phases for word in v.provenance)),
        bound=(*bound, *(word for v in phases for word in v.bound)),
    )
