"""How the calls of one batch go with the length: every number of theirs is a polynomial of degree two at most.

Of few traced lengths the polynomials are worked out by three, and have to hold at all others (Newton's form, in whole
numbers). Which lengths are traced is `choose_probes`'s: a law that holds at them is taken to hold between.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from irene.primitives.patterns import Numbers
from irene.tracing.batch_laws import is_same
from irene.tracing.short_traces import ShortTrace

_FEW = 12  # sizes, of which each is a probe
_RANDOM_PROBES = 4
_NODES = 3  # that a polynomial of degree two is worked out by


def choose_probes(sizes: Sequence[int], seed: int = 0) -> list[int]:
    """Places in an ascending list whose law is asked of a trace: ends, middle, some at random, and each alignment.

    What a model may make depend on a size is a limit, which the ends and the middle see, or padding to a block: of
    every power of two that divides one of the sizes just so, one is among the probes.

    >>> sizes = list(range(8, 520, 8))
    >>> [sizes[place] for place in choose_probes(sizes)]
    [8, 16, 32, 48, 64, 128, 256, 272, 400, 432, 512]
    """
    if len(sizes) <= _FEW:
        return list(range(len(sizes)))
    last = len(sizes) - 1
    aligned = {size & -size: place for place, size in reversed(list(enumerate(sizes)))}
    some = random.Random(seed).sample(range(len(sizes)), min(_RANDOM_PROBES, len(sizes)))
    return sorted({0, last // 2, last, *aligned.values(), *some})


@dataclass(frozen=True, slots=True, eq=False)
class LengthLaw:
    """The calls of one batch by the length: `whole` times each number is a + n (b + n c), in whole numbers."""

    outline: int
    patterns: tuple[int, ...]
    call_of_place: tuple[int, ...]
    whole: int
    terms: tuple[tuple[tuple[int, int, int], ...], ...]

    def at(self, length: int) -> ShortTrace | None:
        """The calls at a length; None where a number would be no whole one, or below zero."""
        numbers: list[Numbers] = []
        for of_call in self.terms:
            scaled = [a + length * (b + length * c) for a, b, c in of_call]
            if any(value % self.whole for value in scaled):
                return None
            numbers.append(tuple([value // self.whole for value in scaled]))
            if any(value < 0 and (b or c) for value, (_, b, c) in zip(scaled, of_call, strict=True)):
                return None  # an argument may be below zero at every length, a size never
        by_place = [(self.patterns[slot], numbers[slot]) for slot in self.call_of_place]
        calls = {call: number for number, call in enumerate(dict.fromkeys(by_place))}  # some may be equal here
        patterns, own = zip(*calls, strict=True) if calls else ((), ())
        return ShortTrace(self.outline, patterns, own, tuple([calls[call] for call in by_place]))


def find_length_law(lengths: Sequence[int], traces: Sequence[ShortTrace]) -> LengthLaw | None:
    """The law of traces of one batch at these ascending lengths, more than three, if they have one."""
    first = traces[0]
    if len(traces) <= _NODES or any(trace.outline != first.outline for trace in traces):
        return None
    together = list(zip(*(trace.call_of_place for trace in traces), strict=True))
    slots = {calls: number for number, calls in enumerate(dict.fromkeys(together))}
    patterns = tuple([first.patterns[calls[0]] for calls in slots])
    for trace, calls in zip(traces, zip(*slots, strict=True), strict=True):
        if tuple([trace.patterns[call] for call in calls]) != patterns:
            return None
    nodes = (0, len(lengths) // 2, len(lengths) - 1)
    x, y, z = (lengths[node] for node in nodes)
    whole = (y - x) * (z - x) * (z - y)
    terms = []
    for calls in slots:
        seen = [trace.numbers[call] for trace, call in zip(traces, calls, strict=True)]
        by_node = zip(*(seen[node] for node in nodes), strict=True)
        terms.append(tuple([_through((x, y, z), values) for values in by_node]))
    law = LengthLaw(first.outline, patterns, tuple([slots[calls] for calls in together]), whole, tuple(terms))
    for length, trace in zip(lengths, traces, strict=True):
        found = law.at(length)
        if found is None or not is_same(found, trace):
            return None
    return law


def _through(nodes: tuple[int, int, int], values: tuple[int, ...]) -> tuple[int, int, int]:
    """The terms of the parabola through three points, times (y - x) (z - x) (z - y).

    >>> _through((1, 2, 4), (3, 5, 9))  # 1 + 2 n, times 6
    (6, 12, 0)
    """
    x, y, z = nodes
    u, v, w = values[0] * (z - y), values[1] * (z - x), values[2] * (y - x)
    return u * y * z - v * x * z + w * x * y, -u * (y + z) + v * (x + z) - w * (x + y), u - v + w
