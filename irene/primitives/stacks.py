"""Many calls of few forms: a rule is asked once a form, with the numbers of all its calls beside each other.

A survey has half a million products of five forms, a sweep tens of thousands of calls of some tens. Rules stay as they
are, written for one call: see `irene.primitives.lanes`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from irene.arrays import IntArray
from irene.primitives.call import Call
from irene.primitives.lanes import Lanes, NotInLanes, Parted
from irene.primitives.patterns import Pattern, builder_of, places_of_arguments

Rule: TypeAlias = Callable[[Call], Any]
Answer = TypeVar("Answer")
Word = TypeVar("Word", bound=str)
_FEWEST = 8  # lanes: fewer are not worth the way through arrays


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """Calls of one pattern: `numbers` (lanes, numbers) are those of each, and `rows` (lanes,) where it stands."""

    pattern: Pattern
    rows: IntArray
    numbers: IntArray

    def call(self, lane: int) -> Call:
        """One of its calls."""
        return _builder_of(self.pattern)(self.numbers[lane].tolist())

    def stacked(self, lanes: IntArray) -> Call:
        """Some of its calls as one; what is the same in all of them is a plain number."""
        numbers = self.numbers[lanes]
        same = (numbers == numbers[0]).all(axis=0)
        columns = zip(same.tolist(), numbers[0].tolist(), numbers.T, strict=True)
        mixed: list[Any] = [first if is_same else Lanes(column) for is_same, first, column in columns]
        call = _builder_of(self.pattern)(mixed)
        object.__setattr__(call, "is_stacked", True)
        return call

    def split_arguments(self) -> list[IntArray]:
        """Its lanes in groups: rules see sizes and strides as lanes, and whole-number arguments as they are."""
        arguments = self.numbers[:, list(places_of_arguments(self.pattern))]
        if not len(arguments) or (arguments == arguments[0]).all():
            return [np.arange(len(self.rows))]
        _, group = np.unique(arguments, axis=0, return_inverse=True)
        order = np.argsort(group.ravel(), kind="stable")
        return np.split(order, np.flatnonzero(np.diff(group.ravel()[order])) + 1)


_builder_of = lru_cache(maxsize=4096)(builder_of)


@dataclass(frozen=True, slots=True, eq=False)
class CallStack(Sequence[Call]):
    """A sequence of calls, each of one of `forms`; the calls themselves are made where one is asked for."""

    forms: tuple[Form, ...]
    _form_of: IntArray = field(init=False, repr=False)
    _lane_of: IntArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        count = sum(len(form.rows) for form in self.forms)
        form_of, lane_of = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
        for number, form in enumerate(self.forms):
            form_of[form.rows], lane_of[form.rows] = number, np.arange(len(form.rows))
        object.__setattr__(self, "_form_of", form_of)
        object.__setattr__(self, "_lane_of", lane_of)

    def __len__(self) -> int:
        return len(self._form_of)

    @overload
    def __getitem__(self, at: int) -> Call: ...
    @overload
    def __getitem__(self, at: slice) -> CallStack: ...
    def __getitem__(self, at: int | slice) -> Call | CallStack:
        if isinstance(at, slice):
            return self.take(np.arange(len(self))[at])
        form: Form = self.forms[int(self._form_of[at])]
        return form.call(int(self._lane_of[at]))

    def __iter__(self) -> Iterator[Call]:
        return (self[at] for at in range(len(self)))

    def take(self, rows: IntArray) -> CallStack:
        """Some calls, in the order of `rows`."""
        form_of, lane_of = self._form_of[rows], self._lane_of[rows]
        places = ((form, np.flatnonzero(form_of == number)) for number, form in enumerate(self.forms))
        return CallStack(tuple(Form(f.pattern, at, f.numbers[lane_of[at]]) for f, at in places if len(at)))


def ask(rule: Callable[[Call], Answer], calls: Sequence[Call]) -> Iterator[tuple[IntArray, Answer]]:
    """The answers of a rule, each with the rows that it is for; of a stack, in lanes (see `lanes_of`)."""
    if not isinstance(calls, CallStack):
        for row, call in enumerate(calls):
            yield np.array([row]), rule(call)
        return
    for form in calls.forms:
        left = form.split_arguments()
        while left:
            lanes = left.pop()
            if len(lanes) >= _FEWEST:
                try:
                    yield form.rows[lanes], rule(form.stacked(lanes))
                    continue
                except Parted as parted:
                    left += [lanes[parted.yes], lanes[~parted.yes]]
                    continue
                except (NotInLanes, TypeError):
                    pass
            for lane in lanes:
                yield form.rows[lane : lane + 1], rule(form.call(int(lane)))


def numbers_of(rule: Rule, calls: Sequence[Call], count: int, dtype: Any = np.float64) -> NDArray[Any]:
    """`count` numbers of each call, shape (count, calls): `rule` gives them as a tuple.

    >>> from irene.primitives.call import TensorSpec
    >>> x = TensorSpec((8, 128), (128, 1), "bfloat16")
    >>> numbers_of(lambda call: (call.tensors[0].numel, 2), [Call("aten.gelu.default", (x,))], 2).tolist()
    [[1024.0], [2.0]]
    """
    if not isinstance(calls, CallStack):
        found = np.array([rule(call) for call in calls], dtype=dtype)
        return found.reshape(len(calls), count).T
    numbers = np.empty((count, len(calls)), dtype=dtype)
    for rows, answer in ask(rule, calls):
        for place, value in enumerate(answer):
            numbers[place, rows] = lanes_of(value)
    return numbers


def words_of(rule: Callable[[Call], Word], calls: Sequence[Call]) -> tuple[Word, ...]:
    """A word for each call, such as its kind."""
    if not isinstance(calls, CallStack):
        return tuple([rule(call) for call in calls])
    words: dict[int, Word] = {}
    for rows, word in ask(rule, calls):
        words.update(dict.fromkeys(rows.tolist(), word))
    return tuple([words[row] for row in range(len(calls))])


def rows_by_word(words: Iterable[str]) -> dict[str, IntArray]:
    """Where each word stands, in the order of their first places.

    >>> {word: rows.tolist() for word, rows in rows_by_word(["tf32", "half", "tf32"]).items()}
    {'tf32': [0, 2], 'half': [1]}
    """
    words = list(words)
    column = np.array(words, dtype=np.str_)
    return {word: np.flatnonzero(column == word) for word in dict.fromkeys(words)}


def pick(calls: Sequence[Call], rows: IntArray) -> Sequence[Call]:
    """Some calls, in the order of `rows`; of a stack, a stack."""
    return calls.take(rows) if isinstance(calls, CallStack) else tuple([calls[row] for row in rows.tolist()])


def lanes_of(value: Any) -> Any:
    """The numbers of an answer: an array where it is lanes."""
    return value.values if isinstance(value, Lanes) else value
