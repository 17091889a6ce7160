"""Points of one outline beside each other: their calls are the same but for numbers, which are arrays over points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irene.arrays import IntArray
from irene.tracing.batch_laws import ByLaw, Law
from irene.tracing.short_traces import ShortTrace


@dataclass(frozen=True, slots=True, eq=False)
class TraceBlock:
    """Some points of one outline, and what they call.

    `points` (points,) says which they are. A *slot* is a call that is the same at several places of the short trace, at
    every point: `slot_of_place` (places,), the pattern of each, and its `numbers` (points, numbers).
    """

    outline: int
    points: IntArray
    slot_of_place: IntArray
    patterns: tuple[int, ...]
    numbers: tuple[IntArray, ...]


def gather_blocks(held: Sequence[ShortTrace | ByLaw]) -> list[TraceBlock]:
    """The points of a sequence, by outline; those by a law are worked out for all of it at once."""
    by_outline: dict[int, list[int]] = {}
    for point, trace in enumerate(held):
        by_outline.setdefault(_source(trace).outline, []).append(point)
    return [_gather(outline, points, [held[point] for point in points]) for outline, points in by_outline.items()]


def _source(trace: ShortTrace | ByLaw) -> ShortTrace | Law:
    return trace.law if isinstance(trace, ByLaw) else trace


def _gather(outline: int, points: Sequence[int], held: Sequence[ShortTrace | ByLaw]) -> TraceBlock:
    rows_of: dict[int, list[int]] = {}  # of each law and each trace, by identity
    for row, trace in enumerate(held):
        rows_of.setdefault(id(_source(trace)), []).append(row)
    sources = [_source(held[rows[0]]) for rows in rows_of.values()]
    places = np.array(list(dict.fromkeys(source.call_of_place for source in sources)), dtype=np.int64)
    _, first_place, slot_of_place = np.unique(places, axis=1, return_index=True, return_inverse=True)
    alike: dict[object, list[tuple[ShortTrace | Law, list[int]]]] = {}
    for source, rows in zip(sources, rows_of.values(), strict=True):
        form = (source.powers, source.call_of_place) if isinstance(source, Law) else id(source)
        alike.setdefault(form, []).append((source, rows))
    slots: list[tuple[int, IntArray]] = []
    for place in first_place.tolist():
        parts = [_numbers_of(place, members, held) for members in alike.values()]
        source = sources[0]
        slots.append((source.patterns[source.call_of_place[place]], np.concatenate(parts)))
    order = np.concatenate([np.array(rows) for members in alike.values() for _, rows in members])
    back = np.argsort(order)
    patterns, numbers = [pattern for pattern, _ in slots], [own[back] for _, own in slots]
    return TraceBlock(outline, np.array(points), slot_of_place.ravel(), tuple(patterns), tuple(numbers))


def _numbers_of(
    place: int, members: Sequence[tuple[ShortTrace | Law, list[int]]], held: Sequence[ShortTrace | ByLaw]
) -> NDArray[np.int64]:
    """The numbers of the call at a place, a row a point of laws of one form, or of one trace; law after law."""
    first, rows = members[0]
    at = first.call_of_place[place]
    if isinstance(first, ShortTrace):
        return np.tile(np.array(first.numbers[at], dtype=np.int64), (len(rows), 1))
    factors = np.array([law.factors[at] for law, _ in members if isinstance(law, Law)], dtype=np.int64)
    sizes = np.array([held[row].at for _, rows in members for row in rows], dtype=np.int64)  # type: ignore[union-attr]
    counts = [len(rows) for _, rows in members]
    numbers: IntArray = np.repeat(factors, counts, axis=0) * sizes[:, None] ** np.array(first.powers[at], np.int64)
    return numbers
