"""Points of one outline -> their totals, all points at once: each class of equal leaves is placed, then counted.

What one prediction's leaves go through one by one (`steady_state`, `attribution`, `node_intervals`), here a row a point
and a column a class. The only thing that needs every leaf by itself is who waits for the host, where anything waits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irene.account import PARTS
from irene.arrays import BoolArray, FloatArray, IntArray
from irene.leaves.leaf_model import LeafValues
from irene.leaves.leaf_table import LeafTable
from irene.predictor.aggregation import Weights
from irene.predictor.attribution import compute_shares, split_energy
from irene.predictor.cancelling import add_sum
from irene.predictor.domain import Domain
from irene.predictor.intervals import Intervals
from irene.predictor.node_intervals import MATTERING_SHARE, LeafWidths, find_widths, name_provenance, regime_width
from irene.predictor.node_values import PROVENANCES
from irene.predictor.power_cap import share_clocks
from irene.predictor.steady_state import RowWeights, weigh_rows
from irene.predictor.timeline import find_gaps

_MEASURED, _INTERPOLATED = PROVENANCES.index("measured"), PROVENANCES.index("interpolated")


@dataclass(frozen=True, slots=True, eq=False)
class RowPrices:
    """What the distinct calls of many points cost and how they count, arrays by row of `table`.

    `tier` is the number of each row's provenance; 'interpolated' rows may have been metered themselves.
    """

    table: LeafTable
    alone: LeafValues
    weights: RowWeights
    compute_share: FloatArray
    exchanges: BoolArray
    widths: LeafWidths
    tier: IntArray
    domain: Domain


@dataclass(frozen=True, slots=True, eq=False)
class HostSide:
    """What points of one outline share: seconds of the host for each leaf, and which leaves it waits for, (leaves,)."""

    issue_s: FloatArray
    reads_back: BoolArray


def price_rows(
    table: LeafTable, alone: LeafValues, weights: Weights, intervals: Intervals, domain: Domain, execution: str
) -> RowPrices:
    """What the rows of a table that cost `alone` count in passes of an execution."""
    tiers = [
        "measured" if word not in ("interpolated", "fallback") and domain.is_measured(table, row, word) else word
        for row, word in enumerate(domain.tier_of(table))
    ]
    numbers = {word: number for number, word in enumerate(PROVENANCES)}
    return RowPrices(
        table=table,
        alone=alone,
        weights=weigh_rows(table, alone, weights, execution),
        compute_share=compute_shares(table, table.spec),
        exchanges=table.is_collective,
        widths=find_widths(table.known_by.tolist(), tiers, domain.distance_of(table, tiers), intervals),
        tier=np.array([numbers[word] for word in tiers], dtype=np.int64),
        domain=domain,
    )


def total_points(
    rows: IntArray, class_of_leaf: IntArray, host: HostSide, prices: RowPrices, intervals: Intervals, execution: str
) -> tuple[dict[str, FloatArray], list[str]]:
    """The root's numbers at points whose classes of leaves are `rows` (points, classes), and its provenance.

    Arrays are (points,), by the name of a value; `class_of_leaf` (leaves,) is in call order.
    """
    spec = prices.table.spec
    idle_w = spec.context_idle_power_w
    counts = np.bincount(class_of_leaf, minlength=rows.shape[1]).astype(np.float64)
    running = share_clocks(prices.alone.take(rows), counts, float(host.issue_s.sum()), spec)
    once_s, once_j = prices.weights.take(rows).apply(running, idle_w)
    gap_s = np.zeros_like(once_s)
    if execution == "eager":
        gap_s = _gaps_of_classes(once_s, class_of_leaf, counts, host)
    busy_s, busy_j, gap_j = counts * once_s, counts * once_j, idle_w * gap_s
    energy_j, unthrottled_s = (busy_j + gap_j).sum(axis=1), (busy_s + gap_s).sum(axis=1)
    duration_s = np.maximum(unthrottled_s, energy_j / spec.power_cap_w)
    duration_s[unthrottled_s <= 0] = 0.0
    waits_s = gap_s.sum(axis=1)
    wait_share = np.divide(waits_s, unthrottled_s, out=np.zeros_like(waits_s), where=waits_s > 0)
    known = regime_width(execution, wait_share, intervals)[:, None]
    low_j, high_j = _bound_points(prices, rows, busy_j, gap_j, known)
    split = split_energy(busy_s, busy_j, gap_j, prices.compute_share[rows], prices.exchanges[rows], idle_w)
    parts = {name: split[name].sum(axis=1) for name in PARTS}
    totals = {f"{name}_j": values for name, values in parts.items()}
    totals |= {"energy_j": np.sum(list(parts.values()), axis=0), "duration_s": duration_s}
    totals |= {"low_j": low_j, "high_j": high_j}
    return totals, _name_points(prices, rows, busy_j + gap_j)


def _bound_points(
    prices: RowPrices, rows: IntArray, busy_j: FloatArray, gap_j: FloatArray, known: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(low, high) joules of each point, as `node_bounds` has them of a root."""
    widths = prices.widths.take(rows)
    low_j, high_j = (part.sum(axis=1) for part in widths.bounds(busy_j, gap_j, known, as_parts=True))
    for number in np.unique(widths.seldom[widths.seldom > 0]).tolist():
        own_j = np.where(widths.seldom == number, busy_j, 0.0)
        # Two classes may be of one call at some points: what a call costs in all, there.
        keys = rows + np.arange(len(rows))[:, None] * len(prices.table.calls)
        _, at = np.unique(keys, return_inverse=True)
        of_call_j = np.bincount(at.ravel(), weights=own_j.ravel())[at.reshape(rows.shape)]
        squares_j2 = (own_j * of_call_j).sum(axis=1)
        add_sum(low_j, high_j, own_j.sum(axis=1), squares_j2, widths.seldom_widths[number], known[:, 0])
    return low_j, high_j


def _gaps_of_classes(once_s: FloatArray, class_of_leaf: IntArray, counts: FloatArray, host: HostSide) -> FloatArray:
    """Seconds of waiting before all leaves of each class, shape (points, classes)."""
    gap_s = np.zeros_like(once_s)
    waiting = np.flatnonzero((once_s @ counts < host.issue_s.sum()) | host.reads_back.any())
    if len(waiting):
        of_leaves = find_gaps(host.issue_s, once_s[waiting][:, class_of_leaf], host.reads_back)
        order = np.argsort(class_of_leaf, kind="stable")
        starts = (np.cumsum(counts) - counts).astype(np.int64)
        gap_s[waiting] = np.add.reduceat(of_leaves[:, order], starts, axis=1)
    return gap_s


def _name_points(prices: RowPrices, rows: IntArray, energy_j: FloatArray) -> list[str]:
    """The provenance of points with these rows, `energy_j` in each; only what decides is looked up."""
    tier = prices.tier[rows]
    joules = np.stack([(energy_j * (tier == number)).sum(axis=1) for number in range(len(PROVENANCES))], axis=1)
    words = list(name_provenance(joules))
    enough_j = MATTERING_SHARE * joules.sum(axis=1)
    unmetered_j = joules.sum(axis=1) - joules[:, _MEASURED] - joules[:, _INTERPOLATED]
    for point in [point for point, word in enumerate(words) if word == PROVENANCES[_INTERPOLATED]]:
        asked = np.flatnonzero(tier[point] == _INTERPOLATED)
        asked = asked[np.argsort(-energy_j[point, asked])]
        rest_j = unmetered_j[point]
        for place in asked.tolist():
            if rest_j >= enough_j[point]:
                break
            if not prices.domain.is_measured(prices.table, int(rows[point, place]), "interpolated"):
                rest_j += energy_j[point, place]
        if rest_j < enough_j[point]:
            words[point] = PROVENANCES[_MEASURED]
    return words
