"""How sure every node of a tree is, and in one word why: widths combined by energy and by provenance.

A pass whose leaves are all known errs as passes of its regime do (see `intervals`). Errors of what is not known do not
cancel: of each leaf the bounds are summed, so that a tree that is nothing but one fallback is as wide as that leaf, and
one that is a tenth of it reaches twice as high. Outside the data a leaf counts with as many times the regime's width as
it has of its kind's alone: twice, and more the farther it is. One of a form that was never timed counts at least with
what forms err by that are held out. Of what measured passes have next to none of, no width of a regime speaks: it
brings its own, which cancels between distinct calls (`cancelling`). The wait before a kernel is the host's, and as sure
as any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from irene.account import HOST_BOUND_SHARE
from irene.arrays import BoolArray, FloatArray, IntArray
from irene.leaves.kernel_sets import BY_FACTORS, SELDOM
from irene.predictor.cancelling import add_sum
from irene.predictor.domain import Distance
from irene.predictor.intervals import OUTSIDE, Intervals, widening
from irene.predictor.node_values import PROVENANCES
from irene.predictor.steady_state import Placement

MATTERING_SHARE = 0.01
"""A node's one word is the worst provenance that, with all that are worse, has this share of its energy."""
_HALF_OF_RAMP = 0.10


def regime_width(execution: str, wait_share: FloatArray, intervals: Intervals) -> FloatArray:
    """The half-width of passes of known leaves; eager and host-bound ones mix from 5 to 25 % of waiting.

    A width that jumped where a share of 15 % is passed would say that two lengths side by side differ in kind.
    """
    if execution != "eager":
        return np.full_like(wait_share, intervals.of_regime(execution))
    is_waiting = np.clip((wait_share - HOST_BOUND_SHARE) / (2 * _HALF_OF_RAMP) + 0.5, 0.0, 1.0)
    busy, waiting = intervals.of_regime("eager"), intervals.of_regime("host_bound")
    width: FloatArray = (1.0 - is_waiting) * busy + is_waiting * waiting
    return width


@dataclass(frozen=True, slots=True, eq=False)
class LeafWidths:
    """How sure each leaf is, whatever its pass: `own` half-widths, how much `wider` than known ones, what is a guess.

    `least` is the half-width of a form that was not timed, and of what passes seldom have; 0 of others. Where errors
    cancel (BY_FACTORS, inside the data) `seldom` numbers kinds from 1 instead, and is 0 of all other leaves;
    `seldom_widths` are those of one call of each, from number 0 on.
    """

    own: FloatArray
    wider: FloatArray
    least: FloatArray
    fallback: BoolArray
    seldom: IntArray
    seldom_widths: tuple[float, ...]

    def take(self, rows: IntArray) -> LeafWidths:
        """Those of some leaves, in the shape of `rows`."""
        own, wider, least = self.own[rows], self.wider[rows], self.least[rows]
        return LeafWidths(own, wider, least, self.fallback[rows], self.seldom[rows], self.seldom_widths)

    def bounds(
        self, busy_j: FloatArray, gap_j: FloatArray, known: FloatArray, as_parts: bool
    ) -> tuple[FloatArray, FloatArray]:
        """(low, high) joules of each leaf on its own, or `as_parts` of nodes that sum them.

        `known` is the half-width of a pass of known leaves, as `regime_width` gives it. Of `seldom` ones the parts are
        as sure as known leaves: what they bring of their own is added to sums.
        """
        part = np.maximum(known * self.wider, self.least)
        width = np.where(self.fallback, self.own, part) if as_parts else self.own
        waiting = np.where(self.fallback, known, known * self.wider)
        low_j = busy_j * np.exp(-width) + gap_j * np.exp(-waiting)
        return low_j, busy_j * np.exp(width) + gap_j * np.exp(waiting)


def find_widths(
    known_by: Sequence[str], provenance: Sequence[str], distance: Distance, intervals: Intervals
) -> LeafWidths:
    """The widths of leaves, all sequences of one length."""
    octaves, is_new_form = distance.octaves, distance.is_new_form
    pairs = list(zip(known_by, provenance, strict=True))
    near = {pair: (intervals.of_kind(*pair), widening(pair[1])) for pair in set(pairs)}
    own, wider = np.array([near[pair] for pair in pairs], dtype=np.float64).reshape(-1, 2).T
    for row in np.flatnonzero(octaves > 0).tolist():
        far = float(octaves[row])
        own[row], wider[row] = intervals.of_kind(*pairs[row], far), widening(provenance[row], far)
    new = [intervals.of_new_form(known) if new else 0.0 for known, new in zip(known_by, is_new_form, strict=True)]
    words = np.array(provenance, dtype=np.str_)
    cancels = np.isin(known_by, BY_FACTORS) & ~is_new_form & ~np.isin(words, (*OUTSIDE, "fallback"))
    least = np.maximum(new, np.where(np.isin(known_by, SELDOM) & ~cancels, own, 0.0))
    numbers = {kind: number for number, kind in enumerate(BY_FACTORS, start=1)}
    seldom = np.where(cancels, [numbers.get(known, 0) for known in known_by], 0).astype(np.int64)
    of_one = (0.0, *(intervals.of_kind(kind, "interpolated") for kind in BY_FACTORS))
    return LeafWidths(np.maximum(own, least), wider, least, words == "fallback", seldom, of_one)


def node_bounds(
    placed: Placement, provenance: Sequence[str], distance: Distance, intervals: Intervals
) -> tuple[FloatArray, FloatArray]:
    """(low, high) joules of every node; a leaf on its own, every other node the sum of its leaves as parts."""
    flat, table = placed.leaves.flat, placed.leaves.table
    known_by = table.known_by[placed.leaves.row_of_leaf].tolist()
    widths = find_widths(known_by, provenance, distance, intervals)
    known = regime_width(placed.execution, np.array(placed.wait_share), intervals)
    own = widths.bounds(placed.busy_j, placed.gap_j, known, as_parts=False)
    parts = widths.bounds(placed.busy_j, placed.gap_j, known, as_parts=True)
    low_j, high_j = (flat.sum_up(part) for part in parts)
    for number in np.unique(widths.seldom[widths.seldom > 0]).tolist():
        busy_j = np.where(widths.seldom == number, placed.busy_j, 0.0)
        rows = placed.leaves.row_of_leaf
        # Equal leaves anywhere in the pass count as one call: in a node that has few of them that is on the safe side.
        squares_j2 = flat.sum_up(busy_j * np.bincount(rows, weights=busy_j)[rows])
        add_sum(low_j, high_j, flat.sum_up(busy_j), squares_j2, widths.seldom_widths[number], known)
    low_j[flat.leaf_index], high_j[flat.leaf_index] = own
    return low_j, high_j


def name_provenance(shares_j: FloatArray) -> tuple[str, ...]:
    """One word for each node; `shares_j` (nodes, len(PROVENANCES)) are the joules of its leaves by provenance.

    >>> name_provenance(np.array([[0.0, 98.9, 0.6, 0.0, 0.5], [0.0, 99.5, 0.0, 0.0, 0.5]]))
    ('extrapolated', 'interpolated')
    """
    from_worst = np.cumsum(shares_j[:, ::-1], axis=1)
    matters = (from_worst >= MATTERING_SHARE * from_worst[:, -1:]) & (from_worst > 0)
    places = np.where(matters.any(axis=1), len(PROVENANCES) - 1 - matters.argmax(axis=1), 0)
    return tuple(PROVENANCES[place] for place in places)


def joules_by_provenance(provenance: Sequence[str], energy_j: FloatArray) -> FloatArray:
    """Joules of each leaf in the column of its provenance: (leaves, len(PROVENANCES))."""
    labels = np.array(provenance, dtype=np.str_)
    columns: FloatArray = (labels[:, None] == np.array(PROVENANCES)) * energy_j[:, None]
    return columns
