"""Which points of a grid are traced, and what follows for the others: see `irene.tracing.grid`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from irene.model_tree.workload import Workload
from irene.tracing.batch_laws import ByLaw, Law, is_same, law_between, law_like, trace_at
from irene.tracing.length_laws import choose_probes, find_length_law
from irene.tracing.retracing import Retracer
from irene.tracing.short_traces import ShortTrace

Point = tuple[int, int]
"""A batch size, and the number of a column (a length)."""


class Search:
    """Which points are traced, and what follows for the others. `known` holds what was traced.

    Batches and columns are in ascending order. Batch 1 is a case of its own: sizes of one are squeezed and broadcast.
    """

    def __init__(self, retracer: Retracer, batches: list[int], columns: list[Workload]) -> None:
        self.retracer, self.batches, self.columns = retracer, batches, columns
        self.known: dict[Point, ShortTrace | ByLaw] = {}  # the law, where a trace was what it says
        self._above_one = [batch for batch in batches if batch > 1]
        self._laws: dict[int, Law | None] = {}
        self._ones: dict[int, ByLaw] = {}  # batch 1 at the columns where it followed
        self._large: dict[int, ShortTrace] = {}  # the largest batch at the columns where it followed

    def trace(self, batch: int, column: int) -> ShortTrace:
        found = self.known.get((batch, column))
        if found is None:
            found = self.retracer.trace(replace(self.columns[column], batch_size=batch))
            self.known[batch, column] = found
        return trace_at(found)

    def trace_all(self) -> dict[Point, ShortTrace | ByLaw]:
        return {(b, c): self.trace(b, c) for b in self.batches for c in range(len(self.columns))}

    def confirms_corners(self) -> bool:
        """Whether the smallest and the largest point are what they are with every layer run."""
        corners = {(self.batches[0], 0), (self.batches[-1], len(self.columns) - 1)}
        return all(
            self.retracer.confirms(trace_at(self.known[batch, column]), replace(self.columns[column], batch_size=batch))
            for batch, column in corners
        )

    def follow_all(self) -> dict[Point, ShortTrace | ByLaw]:
        """Every point, traced or followed from traced ones."""
        last = len(self.columns) - 1
        self._follow_large(0, last)
        odd = self._find_odd(choose_probes(self.batches))
        if odd:  # not what its neighbours say: which other batches are not, no probe can tell
            odd |= self._find_odd(range(len(self.batches)))
        for column in range(len(self.columns)):
            for batch in odd:
                self.trace(batch, column)
        self._share_laws(0, last)
        found: dict[Point, ShortTrace | ByLaw] = {}
        for column in range(len(self.columns)):
            for batch, trace in self.follow(column).items():
                found[batch, column] = self.known.get((batch, column), trace)
        return found

    def _find_odd(self, places: Sequence[int]) -> set[int]:
        """Of the batches at some places, those that are not what follows for them at the first or the last column."""
        odd: set[int] = set()
        for column in {0, len(self.columns) - 1}:
            followed = self.follow(column)
            for batch in (self.batches[place] for place in places):
                if not is_same(self.trace(batch, column), trace_at(followed[batch])):
                    odd.add(batch)
                elif batch not in (1, self.batches[-1]):  # those are asked for again
                    self.known[batch, column] = followed[batch]
        return odd

    def follow(self, column: int) -> dict[int, ShortTrace | ByLaw]:
        """All batches of one length."""
        found: dict[int, ShortTrace | ByLaw] = {}
        found |= {1: self._ones.get(column) or self._look(1, column)} if 1 in self.batches else {}
        if self._above_one:
            law = self._law_of(column)
            first = None if law is None else self._at(law, self._above_one[0])
            found[self._above_one[0]] = self._look(self._above_one[0], column) if first is None else first
            self._follow_between(self._above_one, column, found)
        return found

    def _look(self, batch: int, column: int) -> ShortTrace:
        """A point traced, or followed over lengths at the largest batch."""
        followed = self._large.get(column) if batch == self.batches[-1] else None
        return self.trace(batch, column) if followed is None else followed

    def _law_of(self, column: int) -> Law | None:
        """The law of one length from its smallest batch (but 1) to its largest, if these two agree."""
        if column not in self._laws:
            low, high = self._above_one[0], self._above_one[-1]
            self._laws[column] = law_between(self._look(low, column), low, self._look(high, column), high)
        return self._laws[column]

    def _share_laws(self, left: int, right: int) -> None:
        """Find the laws of all lengths between two: theirs where they have the same and the largest batch fits it."""
        if right - left < 2 or len(self._above_one) < 2:
            return
        law, other, high = self._law_of(left), self._law_of(right), self._above_one[-1]
        if law is not None and other is not None and law.form == other.form:
            for column in range(left + 1, right):
                fitting = law_like(law, self._look(high, column), high)
                if fitting is not None:
                    self._laws[column] = fitting
            self._follow_ones(left, right)
        else:
            middle = (left + right) // 2
            self._share_laws(left, middle)
            self._share_laws(middle, right)

    def _follow_large(self, left: int, right: int) -> None:
        """Find the largest batch at the lengths between two, by the law of some of them that are traced.

        The last length may be another case (all positions of a table, which is then not cut), or the first.
        """
        if not self._goes_with_length or len(self._probe(left, right)) > right - left:
            return
        ends = ((left, right), (left, right - 1), (left + 1, right))
        if not any(self._follow_by_law(low, high) for low, high in ends):
            middle = (left + right) // 2
            self._follow_large(left, middle)
            self._follow_large(middle, right)

    def _probe(self, left: int, right: int) -> list[int]:
        return [left + place for place in choose_probes([self._length_of(c) for c in range(left, right + 1)])]

    def _length_of(self, column: int) -> int:
        return self.columns[column].seq_len or 0

    def _follow_by_law(self, left: int, right: int) -> bool:
        """Whether the largest batch at the probes has a law; at the lengths between it is taken to have it, too."""
        probes, batch = self._probe(left, right), self.batches[-1]
        law = find_length_law([self._length_of(c) for c in probes], [self.trace(batch, c) for c in probes])
        if law is None:
            return False
        for column in set(range(left, right + 1)) - set(probes):
            found = law.at(self._length_of(column))
            if found is not None and self.retracer.launches_of(found) == self.retracer.outlines[law.outline].launches:
                self._large[column] = found
        return True

    def _follow_ones(self, left: int, right: int) -> None:
        """Find batch 1 at all lengths between two, if the largest batch there is what follows from those two too."""
        if right - left < 2 or 1 not in self.batches or not self._goes_with_length:
            return
        high, followed = self._above_one[-1], {}
        ends = [self.columns[column].seq_len or 0 for column in (left, right)]
        laws = [law_between(self._look(b, left), ends[0], self._look(b, right), ends[1]) for b in (1, high)]
        if None not in laws:
            for column in range(left + 1, right):
                one, large = (self._at(law, self.columns[column].seq_len or 0) for law in laws if law is not None)
                if one is None or large is None or not is_same(trace_at(large), self._look(high, column)):
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

    def _follow_between(self, batches: list[int], column: int, found: dict[int, ShortTrace | ByLaw]) -> None:
        """Add all batches of an ascending list but the first, which is there."""
        low, high = batches[0], batches[-1]
        first, last = trace_at(found[low]), self._look(high, column)
        if len(batches) > 2:
            law = law_between(first, low, last, high)
            if law is None or not all(self.retracer.agree_with(law, batches[1:-1])):
                middle = len(batches) // 2
                self._follow_between(batches[: middle + 1], column, found)
                self._follow_between(batches[middle:], column, found)
                return
            found |= {batch: ByLaw(law, batch) for batch in batches[1:-1]}
        found[high] = last

    def _at(self, law: Law, batch: int) -> ByLaw | None:
        """The calls at a batch by a law; None where one of them launches a kernel there alone, or is silent there."""
        return ByLaw(law, batch) if all(self.retracer.agree_with(law, [batch])) else None
