"""Is a call inside the data? Its provenance; where it is outside, how far, and whether in its form."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from irene.arrays import BoolArray, FloatArray, IntArray
from irene.leaves.kernel_sets import COLLECTIVE, LOW_PRECISION
from irene.leaves.leaf_model import FEWEST_ROWS
from irene.leaves.leaf_table import LeafTable, fingerprint
from irene.predictor.node_values import PROVENANCES
from irene.primitives.forms import form_of
from irene.primitives.stacks import CallStack, pick, rows_by_word, words_of

SizeRange: TypeAlias = tuple[float, float, float, float]
"""Smallest and largest log2 of FLOP, then of bytes."""

# Beyond the trained range by more than this (a factor of two) a call is an extrapolation.
_MARGIN_LOG2 = 1.0
# Same sizes on the same units, other digits: what is known of one dtype is carried over to the other.
_STAND_INS = {"float16": "bfloat16", "tf32": "float32"}


@dataclass(frozen=True, slots=True, eq=False)
class Distance:
    """How far calls are from what was timed, one each.

    `octaves`: how often FLOP or bytes double the largest; 0 inside, and where nothing was timed.
    `is_new_form`: its operator, or that in its layout, was not timed at all, though others of its kind were.
    """

    octaves: FloatArray
    is_new_form: BoolArray

    def take(self, rows: IntArray) -> Distance:
        """Some rows, in the order of `rows`."""
        return Distance(self.octaves[rows], self.is_new_form[rows])


@dataclass(frozen=True, slots=True)
class Domain:
    """What was measured: identities of metered calls, and the range of sizes that was timed.

    `ranges` are by `LeafTable.known_by` (the kind, in low precision the regressor of time) and dtype.
    `forms` are operators with layouts that were timed; a call of another form is an extrapolation, whatever its size.
    With `is_elsewhere` that was on another device: what is known at all is then 'transferred'.
    """

    metered: frozenset[str]
    ranges: Mapping[str, Mapping[str, SizeRange]]
    forms: frozenset[str]
    is_elsewhere: bool = False

    def provenance_of(self, table: LeafTable) -> list[str]:
        """One provenance a row of the table; calls that launch nothing count as measured (their cost is the host's)."""
        tiers = self.tier_of(table)
        return ["measured" if self.is_measured(table, row, tier) else tier for row, tier in enumerate(tiers)]

    def tier_of(self, table: LeafTable) -> list[str]:
        """What each row would be if it had not been metered itself."""
        known = table.known_by
        tiers = np.full(len(known), "fallback", dtype=f"<U{max(map(len, PROVENANCES))}")
        tiers[~table.launches] = "transferred" if self.is_elsewhere else "measured"
        is_known = table.launches & (known != "unknown") & np.isin(known, list(self.ranges))
        tiers[is_known] = "transferred" if self.is_elsewhere else "extrapolated"
        if not self.is_elsewhere:
            # An empty tensor: PyTorch launches nothing for it (63 ns measured).
            tiers[is_known & (table.traffic_bytes == 0)] = "interpolated"
            self._find_inside(table, np.flatnonzero(is_known & (table.traffic_bytes > 0)), tiers)
        return tiers.tolist()

    def _find_inside(self, table: LeafTable, asked: IntArray, tiers: NDArray[np.str_]) -> None:
        """Write into `tiers` (rows,) which of the rows `asked` are no extrapolation."""
        is_timed = [form in self.forms for form in words_of(form_of, pick(table.calls, asked))]
        asked = asked[np.array(is_timed, dtype=np.bool_)]
        known_by = table.known_by
        for words, at in rows_by_word([f"{known_by[row]} {table.dtypes[row]}" for row in asked.tolist()]).items():
            known, dtype = words.split(" ")
            timed, stand_in = self.ranges[known], self.ranges[known].get(_STAND_INS.get(dtype, ""))
            bounds, word = (timed[dtype], "interpolated") if dtype in timed else (stand_in, "transferred")
            rows = asked[at]
            if bounds is not None:
                tiers[rows[_are_inside(table.flop[rows], table.traffic_bytes[rows], bounds)]] = word

    def is_measured(self, table: LeafTable, row: int, tier: str) -> bool:
        """Whether a row of that tier was metered itself; to say so takes longer than to find the tier."""
        if self.is_elsewhere or tier in ("measured", "fallback"):
            return tier == "measured"
        # A stack makes its calls anew: to remember them would take longer than to name them, and memory.
        name_of = fingerprint.__wrapped__ if isinstance(table.calls, CallStack) else fingerprint
        return name_of(table.calls[row], table.dtypes[row], bool(table.cold[row])) in self.metered

    def distance_of(self, table: LeafTable, tiers: Sequence[str]) -> Distance:
        """How far each row is; `tiers` are their provenance, as `tier_of` or `provenance_of` says it."""
        outside = np.flatnonzero(np.array(tiers, dtype=np.str_) == "extrapolated")
        is_new = np.zeros(len(tiers), dtype=np.bool_)
        is_new[outside] = [form not in self.forms for form in words_of(form_of, pick(table.calls, outside))]
        return Distance(self._octaves_beyond(table), is_new)

    def _octaves_beyond(self, table: LeafTable) -> FloatArray:
        """How often each row's FLOP or bytes double the largest that was timed: 0 inside, and where nothing was.

        Below the smallest a call is no less known: it takes the least time of any kernel.
        """
        of_rows = list(zip(table.known_by.tolist(), table.dtypes, strict=True))
        numbers = {pair: number for number, pair in enumerate(dict.fromkeys(of_rows))}
        at = np.array([numbers[pair] for pair in of_rows], dtype=np.int64)
        largest = np.array([self._largest(*pair) for pair in numbers], dtype=np.float64).reshape(-1, 2)[at]
        sizes = np.log2(np.maximum(1.0, np.stack([table.flop, table.traffic_bytes], axis=1)))
        beyond: FloatArray = np.maximum(0.0, (sizes - largest).max(axis=1))
        return beyond

    def _largest(self, known: str, dtype: str) -> tuple[float, float]:
        """The largest log2 of FLOP and of bytes that was timed: of this dtype, of its stand-in, or of any."""
        timed = self.ranges.get(known, {})
        own = timed.get(dtype) or timed.get(_STAND_INS.get(dtype, ""))
        bounds = [own] if own else list(timed.values())
        return (max(b[1] for b in bounds), max(b[3] for b in bounds)) if bounds else (math.inf, math.inf)


def make_domain(timed: LeafTable, metered: LeafTable) -> Domain:
    """The domain of a predictor fitted on these two tables.

    In low precision, and of what ranks exchange, only what has rows enough for a fit.
    """
    ranges: dict[str, dict[str, SizeRange]] = {}
    doubtful = (*LOW_PRECISION, COLLECTIVE)
    too_few = {name for name in doubtful if len(timed.members_of(name)) < FEWEST_ROWS}
    for index, (known, dtype) in enumerate(zip(timed.known_by.tolist(), timed.dtypes, strict=True)):
        if known in too_few:
            continue
        flop, traffic = _sizes(timed, index)
        old = ranges.setdefault(known, {}).get(dtype, (flop, flop, traffic, traffic))
        ranges[known][dtype] = (min(old[0], flop), max(old[1], flop), min(old[2], traffic), max(old[3], traffic))
    rows = zip(metered.calls, metered.dtypes, metered.cold, strict=True)
    identities = frozenset(fingerprint(call, dtype, bool(cold)) for call, dtype, cold in rows)
    return Domain(identities, ranges, frozenset(form_of(call) for call in timed.calls))


def _sizes(table: LeafTable, index: int) -> tuple[float, float]:
    flop, traffic_bytes = float(table.flop[index]), float(table.traffic_bytes[index])
    return (math.log2(flop) if flop > 1 else 0.0, math.log2(traffic_bytes) if traffic_bytes > 1 else 0.0)


def _are_inside(flop: FloatArray, traffic_bytes: FloatArray, bounds: SizeRange) -> BoolArray:
    inside = np.ones(len(flop), dtype=np.bool_)
    for sizes, low, high in zip((flop, traffic_bytes), bounds[::2], bounds[1::2], strict=True):
        log2 = np.array([math.log2(size) if size > 1 else 0.0 for size in sizes.tolist()])
        inside &= (low - _MARGIN_LOG2 <= log2) & (log2 <= high + _MARGIN_LOG2)
    return inside
