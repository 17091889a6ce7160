"""One model at many batch sizes and lengths: few points are traced, the others follow from them exactly.

Every length is traced at batch 1 (if asked for) and at the smallest and the largest batch above it; every batch at the
shortest and the longest length. Two points of one length *agree* if their calls are the same but for numbers, and each
number is the same in both, or goes with the batch or its square. Between two batches that agree, the calls of that
length are the same with those numbers; where two do not agree, the batch in the middle is traced, and so on.

What could go wrong unseen, and what is done against it:

- a condition on the length (a sliding window, padding to a block): each length is traced itself;
- a condition on the batch that holds for some batches only: each batch is traced at the shortest and the longest
  length, and a batch at which following from others would have been wrong there is traced at every length;
- a condition on both that, once true, stays true for larger ones (enough tokens for all experts): the two ends do not
  agree;
- a condition on both without such an order: eight points drawn at random are traced as well, the first by a model built
  afresh. Where one of them is not what followed, every point is traced;
- equal layers that do not do the same (`irene.tracing.repeats`): the smallest and the largest point, and the first of
  each outline, are traced with every layer run. Where that differs, all are.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from irene.errors import BadInput
from irene.model_tree.serialization import is_saved_tree
from irene.model_tree.tree import Workload
from irene.primitives.call import Call
from irene.primitives.patterns import Numbers
from irene.tracing.inputs import check_positions
from irene.tracing.retracing import Outline, Retracer, ShortTrace
from irene.tracing.tracer import check_workload, find_config, trace_config

_CHECKED = 8  # points that followed, drawn at random, are traced as well, the first by a model built afresh
_POWERS = (0, 1, 2)  # of the batch: how a number may go with it
_NO_POWER = -1


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """All points, batch after batch: `workloads` and `traces` are in one order.

    `traced` points were traced; `checked` of the others were traced as well, to be sure of them.
    """

    model: str
    parameters: int
    workloads: tuple[Workload, ...]
    traces: tuple[ShortTrace, ...]
    outlines: tuple[Outline, ...]
    build_call: Callable[[int, Numbers], Call]
    is_view: tuple[bool, ...]
    traced: int
    checked: int


def trace_grid(model: Any, workloads: Sequence[Workload]) -> Grid:
    """The calls at every one of `workloads`, which are all combinations of some batch sizes with some lengths.

    They differ in nothing else. `model` is a name, a path or a transformers config. Lengths that make no difference to
    the inputs (of pictures) are one length. Raises BadInput and its kinds.
    """
    for workload in workloads:
        check_workload(workload)
    if isinstance(model, str | Path) and is_saved_tree(model):
        raise BadInput(f"{model} is a saved tree, traced for one batch size and length; give a name or a config.json.")
    if not isinstance(model, str | Path) and not hasattr(model, "model_type"):
        raise BadInput(f"Expected a model as a name, a path or a transformers config, got {type(model).__name__}.")
    config, name = find_config(model)
    check_positions(config, max(workloads, key=lambda w: max(w.seq_len or 0, w.decoder_seq_len or 0)))
    retracer = Retracer(config, workloads[0])
    columns = list(dict.fromkeys(replace(retracer.describe(w), batch_size=1) for w in _of_one_batch(workloads)))
    batches = list(dict.fromkeys(w.batch_size for w in workloads))
    search = _Search(retracer, sorted(batches), columns)
    found = search.follow_all()
    if not search.confirms_corners():
        retracer.run_all_layers()
        search.known.clear()
        found = search.follow_all()
    followed = sorted(set(found) - set(search.known), key=str)
    checks = random.Random(0).sample(followed, min(_CHECKED, len(followed)))
    for number, (batch, column) in enumerate(checks):
        workload = replace(columns[column], batch_size=batch)
        if number == 0:
            calls = [leaf.call for leaf in trace_config(config, workload, name).root.leaves]
            is_same = calls == retracer.calls_of(found[batch, column])
        else:
            is_same = _is_same(retracer.trace(workload), found[batch, column])
        if not is_same:
            found, checks = search.trace_all(), []
            break
    order = [(batch, column) for batch in batches for column in range(len(columns))]
    return Grid(
        name,
        retracer.parameters,
        tuple(replace(columns[column], batch_size=batch) for batch, column in order),
        tuple(found[point] for point in order),
        tuple(retracer.outlines),
        retracer.build_call,
        tuple(pattern.is_view for pattern in retracer.patterns),
        len(search.known),
        len(checks),
    )


def _of_one_batch(workloads: Sequence[Workload]) -> list[Workload]:
    return [w for w in workloads if w.batch_size == workloads[0].batch_size]


Point = tuple[int, int]
"""A batch size, and the number of a column (a length)."""


class _Search:
    """Which points are traced, and what follows for the others. `known` holds what was traced."""

    def __init__(self, retracer: Retracer, batches: list[int], columns: list[Workload]) -> None:
        self.retracer, self.batches, self.columns = retracer, batches, columns
        self.known: dict[Point, ShortTrace] = {}

    def trace(self, batch: int, column: int) -> ShortTrace:
        found = self.known.get((batch, column))
        if found is None:
            found = self.retracer.trace(replace(self.columns[column], batch_size=batch))
            self.known[batch, column] = found
        return found

    def trace_all(self) -> dict[Point, ShortTrace]:
        return {(b, c): self.trace(b, c) for b in self.batches for c in range(len(self.columns))}

    def confirms_corners(self) -> bool:
        """Whether the smallest and the largest point are what they are with every layer run."""
        corners = {(self.batches[0], 0), (self.batches[-1], len(self.columns) - 1)}
        return all(
            self.retracer.confirms(self.known[batch, column], replace(self.columns[column], batch_size=batch))
            for batch, column in corners
        )

    def follow_all(self) -> dict[Point, ShortTrace]:
        """Every point, traced or followed from traced ones."""
        edges = sorted({0, len(self.columns) - 1})
        odd: set[int] = set()
        for column in edges:
            followed = self.follow(column)
            for batch in self.batches:
                if not _is_same(self.trace(batch, column), followed[batch]):
                    odd.add(batch)
        for column in range(len(self.columns)):
            for batch in odd:
                self.trace(batch, column)
        found: dict[Point, ShortTrace] = {}
        for column in range(len(self.columns)):
            for batch, trace in self.follow(column).items():
                found[batch, column] = self.known.get((batch, column), trace)
        return found

    def follow(self, column: int) -> dict[int, ShortTrace]:
        """All batches of one length. Batch 1 is a case of its own: sizes of one are squeezed and broadcast."""
        above = [batch for batch in self.batches if batch > 1]
        found = {1: self.trace(1, column)} if 1 in self.batches else {}
        if above:
            found[above[0]] = self.trace(above[0], column)
            self._follow_between(above, column, found)
        return found

    def _follow_between(self, batches: list[int], column: int, found: dict[int, ShortTrace]) -> None:
        """Add all batches of an ascending list but the first, which is there."""
        low, high = batches[0], batches[-1]
        first, last = found[low], self.trace(high, column)
        if len(batches) > 2:
            law = _law_between(first, low, last, high)
            followed = None if law is None else {batch: self._at(law, batch) for batch in batches[1:-1]}
            if followed is None or None in followed.values():
                middle = len(batches) // 2
                self._follow_between(batches[: middle + 1], column, found)
                self._follow_between(batches[middle:], column, found)
                return
            found.update(followed)  # type: ignore[arg-type]
        found[high] = last

    def _at(self, law: _Law, batch: int) -> ShortTrace | None:
        """The calls at a batch by a law; None where one of them launches a kernel there alone, or is silent there."""
        by_power = [batch**power for power in _POWERS]
        numbers = tuple([
            tuple([f * by_power[p] for f, p in zip(factors, powers, strict=True)])
            for factors, powers in zip(law.factors, law.powers, strict=True)
        ])  # fmt: skip
        trace = ShortTrace(law.outline, law.patterns, numbers, law.call_of_place)
        return trace if self.retracer.launches_of(trace) == self.retracer.outlines[law.outline].launches else None


@dataclass(frozen=True, slots=True)
class _Law:
    """How the calls of one length go with the batch: each number is a factor times a power of the batch."""

    outline: int
    patterns: tuple[int, ...]
    factors: tuple[tuple[int, ...], ...]
    powers: tuple[tuple[int, ...], ...]
    call_of_place: tuple[int, ...]


def _law_between(first: ShortTrace, low: int, last: ShortTrace, high: int) -> _Law | None:
    """The law of two points of one length, if they agree."""
    if first.outline != last.outline:
        return None
    pairs = {pair: i for i, pair in enumerate(dict.fromkeys(zip(first.call_of_place, last.call_of_place, strict=True)))}
    factors, powers = [], []
    for a, b in pairs:
        law = [_power_of(x, low, y, high) for x, y in zip(first.numbers[a], last.numbers[b], strict=True)]
        if _NO_POWER in law:
            return None
        powers.append(tuple(law))
        factors.append(tuple([x // low**p for x, p in zip(first.numbers[a], law, strict=True)]))
    call_of_place = tuple([pairs[pair] for pair in zip(first.call_of_place, last.call_of_place, strict=True)])
    patterns = tuple([first.patterns[a] for a, _ in pairs])
    return _Law(first.outline, patterns, tuple(factors), tuple(powers), call_of_place)


def _power_of(x: int, low: int, y: int, high: int) -> int:
    """The power of the batch that takes a number from x at one batch to y at the other, or _NO_POWER."""
    for power in _POWERS:
        scale = low**power
        if x % scale == 0 and y == x // scale * high**power:
            return power
    return _NO_POWER


def _is_same(a: ShortTrace, b: ShortTrace) -> bool:
    """Whether two traces say the same of every leaf."""
    if a.outline != b.outline:
        return False
    pairs = set(zip(a.call_of_place, b.call_of_place, strict=True))
    return all(a.patterns[i] == b.patterns[j] and a.numbers[i] == b.numbers[j] for i, j in pairs)
