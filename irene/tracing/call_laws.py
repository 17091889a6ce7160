"""How the calls of one form go with a length: each number of theirs by a straight line through two traced lengths.

A third traced length has to lie on it. What does not go so (a window, padding) has no law, and is traced.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from irene.primitives.call import Call
from irene.primitives.kinds import MAY_DO_NOTHING, launches_kernel
from irene.primitives.patterns import Numbers, Pattern, builder_of, split_call


@dataclass(frozen=True, slots=True)
class CallLaw:
    """The distinct calls at length `low`, each with its pattern, its numbers there, and those at `high`."""

    low: int
    high: int
    lines: Mapping[Call, tuple[Pattern, Numbers, Numbers]]
    _known: dict[int, dict[Call, Call] | None] = field(default_factory=dict, compare=False, repr=False)

    def at(self, length: int) -> dict[Call, Call] | None:
        """What each call at `low` is at another length; None where a number would not be whole, or nothing is done."""
        if length not in self._known:
            self._known[length] = self._work_out(length)
        return self._known[length]

    def _work_out(self, length: int) -> dict[Call, Call] | None:
        becomes: dict[Call, Call] = {}
        for call, (pattern, first, last) in self.lines.items():
            if first == last:
                becomes[call] = call
                continue
            numbers = []
            for a, b in zip(first, last, strict=True):
                step, rest = divmod((b - a) * (length - self.low), self.high - self.low)
                if rest or a + step < min(a, b, 0):
                    return None
                numbers.append(a + step)
            made = _builder_of(pattern)(numbers)
            if call.op in MAY_DO_NOTHING and launches_kernel(made) != launches_kernel(call):
                return None
            becomes[call] = made
        return becomes

    def holds(self, base: Sequence[Call], traced: Sequence[Call], length: int) -> bool:
        """Whether calls that were traced at a length are what follows there from those `base` at `low`."""
        becomes = self.at(length) if len(base) == len(traced) else None
        return becomes is not None and all(becomes[a] == b for a, b in zip(base, traced, strict=True))


_builder_of = lru_cache(maxsize=10_000)(builder_of)


def find_law(first: Sequence[Call], low: int, last: Sequence[Call], high: int) -> CallLaw | None:
    """The law of the calls at two lengths, in one order; None where they differ in more than numbers.

    >>> from irene.primitives.call import TensorSpec
    >>> def fill(n: int) -> Call:
    ...     return Call("aten.zeros.default", ((n, 8),), (), (TensorSpec((n, 8), (8, 1), "float32"),))
    >>> law = find_law([fill(10)], 10, [fill(30)], 30)
    >>> law.at(17) == {fill(10): fill(17)}
    True
    """
    if len(first) != len(last) or low == high:
        return None
    pairs: dict[Call, Call] = {}
    for a, b in zip(first, last, strict=True):
        if pairs.setdefault(a, b) is not b and pairs[a] != b:
            return None
    lines = {}
    for a, b in pairs.items():
        (pattern, numbers), (other, others) = split_call(a), split_call(b)
        if pattern != other:
            return None
        lines[a] = pattern, numbers, others
    return CallLaw(low, high, lines)
