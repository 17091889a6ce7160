"""Streams of requests as the Efficiency Pentathlon has them, and one that comes at a rate.

    fixed_batch      batches of one size, the last one short
    poisson_batch    sizes drawn from Poisson(128) with numpy's seed 42 until 4,000 instances are there (the published
                     library calls it random_batch)
    single_stream    one instance, the next one after the reply
    offline          all instances at once, batched as the server likes: by length
    poisson_arrivals instances come at a rate, whether the server is ready or not; it takes what waits, up to a most

After Peng et al., The Efficiency Pentathlon, 2023 (arXiv 2307.09701), and the library published with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from irene.arrays import FloatArray, IntArray
from irene.errors import BadInput, UnknownName
from irene.scenarios.lengths import draw_lengths

INSTANCES = {
    "fixed_batch": 4000, "poisson_batch": 4000, "single_stream": 1000, "offline": 8000, "poisson_arrivals": 4000,
}  # fmt: skip
"""The scenarios, and how many instances each has unless told."""
_ALSO_CALLED = {"random_batch": "poisson_batch"}
DEFAULT_BATCH = 128
_MOST_INSTANCES = 10_000_000


class Shape(NamedTuple):
    """What one pass runs over: rows (inputs and padding), tokens in each, and tokens that each is to generate."""

    rows: int
    tokens: int
    new_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Padding:
    """How a batch becomes a rectangle: its longest, up to a multiple of `tokens`; rows up to one of `rows`."""

    tokens: int = 1
    rows: int = 1

    def __post_init__(self) -> None:
        if self.tokens < 1 or self.rows < 1:
            raise BadInput(f"Padding is to multiples of 1 or more, got {self.tokens} tokens and {self.rows} rows.")

    def shape(self, size: int, longest: int, most_new: int = 0) -> Shape:
        """The rectangle of a batch.

        >>> Padding(tokens=8, rows=5).shape(12, 33)
        Shape(rows=15, tokens=40, new_tokens=0)
        """
        return Shape(-(-size // self.rows) * self.rows, -(-longest // self.tokens) * self.tokens, most_new)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """A scenario by name with its numbers; None is what is usual.

    `batch_size` is the size of a batch, the mean of its distribution (`poisson_batch`), or the most that are served
    together (`poisson_arrivals`). `rate_per_s` and `window_s` are of `poisson_arrivals`: how many come in a second, and
    how long the first of a batch waits for others. Raises UnknownName and BadInput.

    >>> Scenario(name="single_stream").count, Scenario(name="random_batch").name
    (1000, 'poisson_batch')
    """

    name: str
    instances: int | None = None
    batch_size: int | None = None
    rate_per_s: float | None = None
    window_s: float = 0.0
    seed: int = 42

    def __post_init__(self) -> None:
        if self.name in _ALSO_CALLED:
            object.__setattr__(self, "name", _ALSO_CALLED[self.name])
        if self.name not in INSTANCES:
            raise UnknownName("scenario", self.name, INSTANCES)
        for name, value in (("instances", self.instances), ("batch_size", self.batch_size)):
            if value is not None and not 1 <= value <= _MOST_INSTANCES:
                raise BadInput(f"{name} must be from 1 to {_MOST_INSTANCES:,}, got {value}.")
        if self.name == "single_stream" and self.batch_size not in (None, 1):
            raise BadInput(f"single_stream sends one instance at a time, got a batch_size of {self.batch_size}.")
        if self.seed < 0:
            raise BadInput(f"A seed is a whole number of at least 0, got {self.seed}.")
        self._check_arrivals()

    @property
    def count(self) -> int:
        """How many instances it has."""
        return INSTANCES[self.name] if self.instances is None else self.instances

    @property
    def most(self) -> int:
        """The size of a batch, its mean, or its most."""
        usual = 1 if self.name == "single_stream" else DEFAULT_BATCH
        return usual if self.batch_size is None else self.batch_size

    @property
    def is_open(self) -> bool:
        """Whether instances come when they come, not when the server is ready."""
        return self.name == "poisson_arrivals"

    def _check_arrivals(self) -> None:
        rate, window_s = self.rate_per_s, self.window_s
        if not self.is_open:
            if rate is not None or window_s:
                raise BadInput(f"A rate and a window are of poisson_arrivals; {self.name} has neither.")
        elif rate is None:
            raise BadInput("poisson_arrivals needs a rate: how many instances come in a second (rate, above 0).")
        elif not (math.isfinite(rate) and rate > 0):
            raise BadInput(f"rate must be a number above 0, in instances a second, got {rate:g}.")
        elif not (math.isfinite(window_s) and window_s >= 0):
            raise BadInput(f"window must be a number of seconds of at least 0, got {window_s:g}.")


@dataclass(frozen=True, slots=True, eq=False)
class Stream:
    """The instances of a scenario in their order: `tokens` and `new_tokens` of each (no tokens of pictures: 0).

    `sizes` are the batches, one after the other; `arrival_s` says when each instance comes where the scenario is open.
    The other one is empty.
    """

    scenario: Scenario
    tokens: IntArray
    new_tokens: IntArray
    sizes: IntArray
    arrival_s: FloatArray

    @property
    def starts(self) -> IntArray:
        """The first instance of each batch."""
        starts: IntArray = np.cumsum(self.sizes) - self.sizes
        return starts

    def shapes(self, padding: Padding) -> IntArray:
        """(batches, 3): the `Shape` of each batch of a closed scenario."""
        return shapes_of(self, self.starts, self.sizes, padding)


def shapes_of(stream: Stream, starts: IntArray, sizes: IntArray, padding: Padding) -> IntArray:
    """(batches, 3): rows, tokens and new tokens of batches that are instances `starts` to `starts + sizes`."""
    rows = -(-sizes // padding.rows) * padding.rows
    longest = np.maximum.reduceat(stream.tokens, starts)
    most_new = np.maximum.reduceat(stream.new_tokens, starts)
    return np.stack([rows, -(-longest // padding.tokens) * padding.tokens, most_new], axis=1).astype(np.int64)


def draw_stream(scenario: Scenario, lengths: str = "128", new_lengths: str = "") -> Stream:
    """The stream of a scenario; `lengths` and `new_lengths` as `draw_lengths` takes them.

    The offline scenario serves the longest first: batches of like lengths waste the least padding.
    """
    count = scenario.count
    tokens = draw_lengths(lengths, count, scenario.seed)
    new = draw_lengths(new_lengths, count, scenario.seed + 1) if new_lengths else np.zeros(count, dtype=np.int64)
    if scenario.name == "offline":
        order = np.lexsort((-new, -tokens))
        tokens, new = tokens[order], new[order]
    none_s, none = np.zeros(0, dtype=np.float64), np.zeros(0, dtype=np.int64)
    if scenario.is_open:
        rate = float(scenario.rate_per_s or 0.0)
        gaps_s = np.random.default_rng(scenario.seed + 2).exponential(1.0 / rate, count)
        return Stream(scenario, tokens, new, none, np.cumsum(gaps_s))
    sizes = draw_sizes(scenario.most, count, scenario.seed) if scenario.name == "poisson_batch" else None
    return Stream(scenario, tokens, new, cut_evenly(count, scenario.most) if sizes is None else sizes, none_s)


def draw_sizes(mean: int, count: int, seed: int) -> IntArray:
    """Sizes of batches from Poisson(mean) until `count` instances are reached; the last one is what is left.

    The generator is the one that `numpy.random.seed` sets. A size of 0 is no batch.
    """
    rng = np.random.RandomState(seed)
    drawn = np.zeros(0, dtype=np.int64)
    while drawn.sum() < count:
        drawn = np.concatenate([drawn, rng.poisson(mean, 100)])  # so many at once there; in one go or in parts is alike
    drawn = drawn[drawn > 0]
    batches = int(np.searchsorted(np.cumsum(drawn), count)) + 1
    sizes = drawn[:batches].astype(np.int64)
    sizes[-1] -= sizes.sum() - count
    return sizes


def cut_evenly(count: int, size: int) -> IntArray:
    """Batches of one size, the last one short.

    >>> cut_evenly(10, 4).tolist()
    [4, 4, 2]
    """
    whole, rest = divmod(count, size)
    return np.array([size] * whole + [rest] * (rest > 0), dtype=np.int64)
