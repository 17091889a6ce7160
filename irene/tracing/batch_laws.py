"""How the calls of one length go with the batch: every number of theirs is a factor times a power of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np

from irene.arrays import IntArray
from irene.tracing.short_traces import ShortTrace

_POWERS = (0, 1, 2)  # of the batch: how a number may go with it
_NO_POWER = -1


@dataclass(frozen=True, slots=True)
class Law:
    """How the calls of one length go with the batch: each number is a factor times a power of the batch."""

    outline: int
    patterns: tuple[int, ...]
    factors: tuple[tuple[int, ...], ...]
    powers: tuple[tuple[int, ...], ...]
    call_of_place: tuple[int, ...]

    def at(self, batch: int) -> ShortTrace:
        """The calls at a batch."""
        by_power = [batch**power for power in _POWERS]
        numbers = tuple([
            tuple([factor * by_power[power] for factor, power in zip(factors, powers, strict=True)])
            for factors, powers in zip(self.factors, self.powers, strict=True)
        ])  # fmt: skip
        return ShortTrace(self.outline, self.patterns, numbers, self.call_of_place)

    def numbers_at(self, call: int, sizes: Sequence[int]) -> IntArray:
        """The numbers of one of its calls at several batches, shape (batches, numbers)."""
        factors, powers = (np.array(own[call], dtype=np.int64) for own in (self.factors, self.powers))
        numbers: IntArray = factors * np.array(sizes, dtype=np.int64)[:, None] ** powers
        return numbers

    @property
    def form(self) -> tuple[object, ...]:
        """The law without its factors."""
        return self.outline, self.patterns, self.powers, self.call_of_place


@dataclass(frozen=True, slots=True)
class ByLaw:
    """A point whose calls a law gives. They are worked out when asked for: kept, 100,000 points would fill 5 GB."""

    law: Law
    at: int


@dataclass(frozen=True, slots=True, eq=False)
class Traces(Sequence[ShortTrace]):
    """The calls of many points, one after the other, those by a law made anew each time."""

    held: tuple[ShortTrace | ByLaw, ...]

    def __len__(self) -> int:
        return len(self.held)

    @overload
    def __getitem__(self, at: int) -> ShortTrace: ...
    @overload
    def __getitem__(self, at: slice) -> list[ShortTrace]: ...
    def __getitem__(self, at: int | slice) -> ShortTrace | list[ShortTrace]:
        return [trace_at(held) for held in self.held[at]] if isinstance(at, slice) else trace_at(self.held[at])


def trace_at(point: ShortTrace | ByLaw) -> ShortTrace:
    """The calls of a point."""
    return point.law.at(point.at) if isinstance(point, ByLaw) else point


def law_like(law: Law, trace: ShortTrace, batch: int) -> Law | None:
    """A law of the same form by which the calls at a batch are those of a trace, if there is one."""
    if (law.outline, law.patterns, law.call_of_place) != (trace.outline, trace.patterns, trace.call_of_place):
        return None
    factors = []
    for numbers, powers in zip(trace.numbers, law.powers, strict=True):
        if any(number % batch**power for number, power in zip(numbers, powers, strict=True)):
            return None
        factors.append(tuple([number // batch**power for number, power in zip(numbers, powers, strict=True)]))
    return replace(law, factors=tuple(factors))


def law_between(first: ShortTrace, low: int, last: ShortTrace, high: int) -> Law | None:
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
    return Law(first.outline, patterns, tuple(factors), tuple(powers), call_of_place)


def _power_of(x: int, low: int, y: int, high: int) -> int:
    """The power of the batch that takes a number from x at one batch to y at the other, or _NO_POWER."""
    for power in _POWERS:
        scale = low**power
        if x % scale == 0 and y == x // scale * high**power:
            return power
    return _NO_POWER


def is_same(a: ShortTrace, b: ShortTrace) -> bool:
    """Whether two traces say the same of every leaf."""
    if a.outline != b.outline:
        return False
    pairs = set(zip(a.call_of_place, b.call_of_place, strict=True))
    return all(a.patterns[i] == b.patterns[j] and a.numbers[i] == b.numbers[j] for i, j in pairs)
