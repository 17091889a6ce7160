"""One model at many batch sizes and lengths: few points are traced, the others follow from them exactly.

Every length is traced at the largest batch; every batch at the shortest and the longest length. Two points of one
length *agree* if their calls are the same but for numbers, and each number is the same in both, or goes with the batch
or its square: the *law* of that length, by which all batches between the two follow (`irene.tracing.batch_laws`). Where
the smallest and the largest batch do not agree, the batch in the middle is traced, and so on. Where two lengths have
one law, those between them are taken to have it too if their largest batch fits it; where not, the smallest batch of
the length in the middle is traced, and so on.

Batch 1 is a case of its own, since sizes of one are squeezed and broadcast. It is traced at two lengths that have one
law, and at those between them by the same means, lengths in the place of batches: all numbers of batch 1 go with the
length or its square, and so do those of the largest batch, whose trace at every length between is what that says of
it. Where a single number is not (padding, a window, a sum), the length in the middle is traced at batch 1, and so on.

What could go wrong unseen, and what is done against it:

- a condition on the length (a sliding window, padding to a block): each length is traced itself, at the largest batch;
- a condition on the length at batch 1 alone: four points of batch 1 that followed, drawn at random, are traced as well;
- a condition on the batch that holds for some batches only: each batch is traced at the shortest and the longest
  length, and a batch at which following from others would have been wrong there is traced at every length;
- a condition on both that, once true, stays true for larger ones (enough tokens for all experts): the corners of what
  is followed do not agree;
- a condition on both without such an order: eight points drawn at random are traced as well, the first by a model built
  afresh. Where one of them is not what followed, every point is traced, each by a model of its own;
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
from irene.tracing.batch_laws import Law, is_same, law_between, law_like
from irene.tracing.inputs import check_positions
from irene.tracing.retracing import Outline, Retracer, ShortTrace
from irene.tracing.tracer import check_workload, find_config, trace_config

_CHECKED = 8  # points that followed, drawn at random, are traced as well, the first by a model built afresh
_CHECKED_ONES = 4  # of batch 1 beside them


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
    one_batch = [workload for workload in workloads if workload.batch_size == workloads[0].batch_size]
    asked = list(dict.fromkeys(replace(retracer.describe(workload), batch_size=1) for workload in one_batch))
    columns = sorted(asked, key=lambda column: (column.seq_len or 0, column.decoder_seq_len or 0))
    batches = list(dict.fromkeys(workload.batch_size for workload in workloads))
    search = _Search(retracer, sorted(batches), columns)
    skipped = retracer.skips_layers
    found = search.follow_all()
    if skipped and not (retracer.skips_layers and search.confirms_corners()):
        retracer.run_all_layers()
        search = _Search(retracer, sorted(batches), columns)
        found = search.follow_all()
    followed = sorted(set(found) - set(search.known), key=str)
    rng, ones = random.Random(0), [(batch, column) for batch, column in followed if batch == 1]
    checks = rng.sample(followed, min(_CHECKED, len(followed)))
    checks = list(dict.fromkeys([*checks, *rng.sample(ones, min(_CHECKED_ONES, len(ones)))]))
    for number, (batch, column) in enumerate(checks):
        workload = replace(columns[column], batch_size=batch)
        if number == 0:
            calls = [leaf.call for leaf in trace_config(config, workload, name).root.leaves]
            holds = calls == retracer.calls_of(found[batch, column])
        else:
            holds = is_same(retracer.trace(workload), found[batch, column])
        if not holds:
            retracer.build_afresh()
            search = _Search(retracer, sorted(batches), columns)
            found, checks = search.trace_all(), []
            break
    order = [(batch, columns.index(column)) for batch in batches for column in asked]
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


Point = tuple[int, int]
"""A batch size, and the number of a column (a length)."""


class _Search:
    """Which points are traced, and what follows for the others. `known` holds what was traced.

    Batches and columns are in ascending order. Batch 1 is a case of its own: sizes of one are squeezed and broadcast.
    """

    def __init__(self, retracer: Retracer, batches: list[int], columns: list[Workload]) -> None:
        self.retracer, self.batches, self.columns = retracer, batches, columns
        self.known: dict[Point, ShortTrace] = {}
        self._above_one = [batch for batch in batches if batch > 1]
        self._laws: dict[int, Law | None] = {}
        self._ones: dict[int, ShortTrace] = {}  # batch 1 at the columns where it followed

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
        last = len(self.columns) - 1
        odd: set[int] = set()
        for column in {0, last}:
            followed = self.follow(column)
            odd |= {batch for batch in self.batches if not is_same(self.trace(batch, column), followed[batch])}
        for column in range(len(self.columns)):
            for batch in odd:
                self.trace(batch, column)
        self._share_laws(0, last)
        found: dict[Point, ShortTrace] = {}
        for column in range(len(self.columns)):
            for batch, trace in self.follow(column).items():
                found[batch, column] = self.known.get((batch, column), trace)
        return found

    def follow(self, column: int) -> dict[int, ShortTrace]:
        """All batches of one length."""
        found = {1: self._ones.get(column) or self.trace(1, column)} if 1 in self.batches else {}
        if self._above_one:
            law = self._law_of(column)
            first = None if law is None else self._at(law, self._above_one[0])
            found[self._above_one[0]] = self.trace(self._above_one[0], column) if first is None else first
            self._follow_between(self._above_one, column, found)
        return found

    def _law_of(self, column: int) -> Law | None:
        """The law of one length from its smallest batch (but 1) to its largest, if these two agree."""
        if column not in self._laws:
            low, high = self._above_one[0], self._above_one[-1]
            self._laws[column] = law_between(self.trace(low, column), low, self.trace(high, column), high)
        return self._laws[column]

    def _share_laws(self, left: int, right: int) -> None:
        """Find the laws of all lengths between two: theirs where they have the same and the largest batch fits it."""
        if right - left < 2 or len(self._above_one) < 2:
            return
        law, other, high = self._law_of(left), self._law_of(right), self._above_one[-1]
        if law is not None and other is not None and law.form == other.form:
            for column in range(left + 1, right):
                fitting = law_like(law, self.trace(high, column), high)
                if fitting is not None:
                    self._laws[column] = fitting
            self._follow_ones(left, right)
        else:
            middle = (left + right) // 2
            self._share_laws(left, middle)
            self._share_laws(middle, right)

    def _follow_ones(self, left: int, right: int) -> None:
        """Find batch 1 at all lengths between two, if the largest batch there is what follows from those two too."""
        if right - left < 2 or 1 not in self.batches or not self._goes_with_length:
            return
        high, followed = self._above_one[-1], {}
        ends = [self.columns[column].seq_len or 0 for column in (left, right)]
        laws = [law_between(self.trace(b, left), ends[0], self.trace(b, right), ends[1]) for b in (1, high)]
        if None not in laws:
            for column in range(left + 1, right):
                one, large = (self._at(law, self.columns[column].seq_len or 0) for law in laws if law is not None)
                if one is None or large is None or not is_same(large, self.trace(high, column)):
                    break
                followed[column] = one
        if len(followed) == right - left - 1:
            self._ones.update(followed)
        else:
            middle = (left + right) // 2
            self._follow_ones(left, middle)
            self._follow_ones(middle, right)

    @property
    def _goes_with_length(self) -> bool:
        """Whether nothing but one length differs between columns."""
        lengths, decoders = ([getattr(c, name) for c in self.columns] for name in ("seq_len", "decoder_seq_len"))
        return None not in lengths and (decoders == lengths or len(set(decoders)) == 1)

    def _follow_between(self, batches: list[int], column: int, found: dict[int, ShortTrace]) -> None:
        """Add all batches of an ascending list but the first, which is there."""
        low, high = batches[0], batches[-1]
        first, last = found[low], self.trace(high, column)
        if len(batches) > 2:
            law = law_between(first, low, last, high)
            followed = None if law is None else {batch: self._at(law, batch) for batch in batches[1:-1]}
            if followed is None or None in followed.values():
                middle = len(batches) // 2
                self._follow_between(batches[: middle + 1], column, found)
                self._follow_between(batches[middle:], column, found)
                return
            found.update(followed)  # type: ignore[arg-type]
        found[high] = last

    def _at(self, law: Law, batch: int) -> ShortTrace | None:
        """The calls at a batch by a law; None where one of them launches a kernel there alone, or is silent there."""
        trace = law.at(batch)
        return trace if self.retracer.launches_of(trace) == self.retracer.outlines[law.outline].launches else None
