"""A grid of points -> their energies: each distinct call of all of them priced once, then each point put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irene.leaves.leaf_model import LeafValues
from irene.leaves.leaf_table import LeafTable, effective_dtype, make_table
from irene.predictor.attribution import compute_shares, name_bounds, split_energy
from irene.predictor.domain import Domain
from irene.predictor.expert_loads import deal_unevenly
from irene.predictor.placement import place_issued
from irene.predictor.prediction import PROVENANCES
from irene.predictor.predictor import Predictor
from irene.predictor.reuse import WeightUses, find_cold, find_uses
from irene.predictor.sweep_values import SweepValues
from irene.predictor.tree_leaves import TreeLeaves
from irene.primitives.call import Call
from irene.primitives.work import count_work

if TYPE_CHECKING:
    from irene.tracing.grid import Grid
    from irene.tracing.retracing import Outline

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
# Rows whose features are held in memory at once.
_ROWS_AT_ONCE = 20_000


@dataclass(frozen=True, slots=True, eq=False)
class _Whole:
    """What all points with one outline share: seconds of the host for each leaf, and who reads which weight when."""

    outline: Outline
    issue_s: FloatArray
    uses: WeightUses


@dataclass(frozen=True, slots=True, eq=False)
class _Priced:
    """Distinct calls, hot and cold apart, with what each costs alone; arrays by row of `table`."""

    table: LeafTable
    alone: LeafValues
    compute_share: FloatArray
    domain: Domain
    rank: IntArray  # in PROVENANCES, of what each row would be if it had not been metered itself

    def worst_of(self, rows: IntArray) -> str:
        """The worst provenance of some rows: only those that would be worst are looked up among what was metered."""
        for rank in np.unique(self.rank[rows])[::-1]:
            tier = PROVENANCES[int(rank)]
            worst = rows[self.rank[rows] == rank]
            if not all(self.domain.is_measured(self.table, int(row), tier) for row in worst):
                return tier
        return PROVENANCES[0]


def predict_grid(fitted: Predictor, grid: Grid) -> SweepValues:
    """The values of every point of a grid, in its order."""
    execution = grid.workloads[0].execution
    wholes = []
    for outline in grid.outlines:
        flat = outline.flat
        issue_s = fitted.host.issue_s(flat) if execution == "eager" else np.zeros(len(flat.leaf_index))
        wholes.append(_Whole(outline, issue_s, find_uses(flat)))
    calls, call_of_leaf = _distinct_calls(grid)
    works = [count_work(call) for call in calls]
    traffic_bytes = np.array([work.traffic_bytes for work in works], dtype=np.float64)
    weight_bytes = np.array([work.weight_bytes for work in works], dtype=np.float64)
    keys = []  # of each leaf of each point: its call, hot or cold
    for trace, at in zip(grid.traces, call_of_leaf, strict=True):
        cold = find_cold(wholes[trace.outline].uses, traffic_bytes[at], weight_bytes[at], fitted.spec.l2_bytes)
        keys.append(2 * at + cold)
    row_of_key = np.zeros(2 * len(calls), dtype=np.int64)
    for key in keys:
        row_of_key[key] = 1
    used = np.flatnonzero(row_of_key)
    row_of_key[used] = np.arange(len(used))
    priced = _price(fitted, [calls[key // 2] for key in used], (used % 2).astype(bool), grid.workloads[0].dtype)
    totals = [
        _total(fitted, wholes[trace.outline], row_of_key[key], priced, execution)
        for trace, key in zip(grid.traces, keys, strict=True)
    ]
    return _collect(totals, fitted)


def _distinct_calls(grid: Grid) -> tuple[list[Call], list[IntArray]]:
    """The distinct calls of all points, and for each point which one each of its leaves is.

    Views stand for each other: none launches a kernel, moves bytes or costs anything but the host's time.
    """
    calls: list[Call] = []
    number_of: dict[object, int] = {}
    call_of_leaf = []
    for trace in grid.traces:
        own = []
        for pattern, numbers in zip(trace.patterns, trace.numbers, strict=True):
            key = None if grid.is_view[pattern] else (pattern, numbers)
            number = number_of.get(key)
            if number is None:
                number = number_of[key] = len(calls)
                calls.append(grid.build_call(pattern, numbers))
            own.append(number)
        by_place = np.array(own, dtype=np.int64)[np.array(trace.call_of_place, dtype=np.int64)]
        call_of_leaf.append(by_place[grid.outlines[trace.outline].place_of_leaf])
    return calls, call_of_leaf


def _price(fitted: Predictor, calls: Sequence[Call], cold: NDArray[np.bool_], dtype: str) -> _Priced:
    table = make_table(calls, [effective_dtype(call, dtype) for call in calls], cold.tolist(), fitted.spec)
    parts = []
    for start in range(0, len(calls), _ROWS_AT_ONCE):
        chosen = np.zeros(len(calls), dtype=np.bool_)
        chosen[start : start + _ROWS_AT_ONCE] = True
        parts.append(fitted.leaves.predict(table.take(chosen)))
    alone = LeafValues(
        np.concatenate([part.duration_s for part in parts]),
        np.concatenate([part.power_w for part in parts]),
        np.concatenate([part.slowing for part in parts]),
    )
    alone = deal_unevenly(alone, table)
    rank = np.array([PROVENANCES.index(tier) for tier in fitted.domain.tier_of(table)], dtype=np.int64)
    return _Priced(table, alone, compute_shares(table, fitted.spec), fitted.domain, rank)


def _total(
    fitted: Predictor, whole: _Whole, row_of_leaf: IntArray, priced: _Priced, execution: str
) -> dict[str, float | str]:
    """The root's values at one point."""
    rows, at = np.unique(row_of_leaf, return_inverse=True)
    chosen = np.zeros(len(priced.table.calls), dtype=np.bool_)
    chosen[rows] = True
    leaves = TreeLeaves(whole.outline.flat, priced.table.take(chosen), at)
    alone = LeafValues(priced.alone.duration_s[rows], priced.alone.power_w[rows], priced.alone.slowing[rows])
    placed = place_issued(leaves, alone, fitted.weights, whole.issue_s, execution, fitted.spec)
    parts = {
        name: float(values.sum())
        for name, values in split_energy(placed, priced.compute_share[rows], fitted.spec).items()
    }
    return {
        **{f"{name}_j": value for name, value in parts.items()},
        "energy_j": sum(parts.values()),
        "duration_s": float(placed.duration_s.sum()),
        "half_width": fitted.intervals.of_regime(placed.regime),
        "provenance": priced.worst_of(rows),
    }


def _collect(totals: list[dict[str, float | str]], fitted: Predictor) -> SweepValues:
    def column(name: str) -> FloatArray:
        return np.array([total[name] for total in totals], dtype=np.float64)

    energy_j, duration_s, width = column("energy_j"), column("duration_s"), column("half_width")
    parts = {name: column(f"{name}_j") for name in ("compute", "memory", "static", "launch_gap")}
    power_w = np.divide(energy_j, duration_s, out=np.full(len(totals), np.nan), where=duration_s > 0)
    return SweepValues(
        energy_j=energy_j, low_j=energy_j * np.exp(-width), high_j=energy_j * np.exp(width), duration_s=duration_s,
        power_w=power_w, compute_j=parts["compute"], memory_j=parts["memory"], static_j=parts["static"],
        launch_gap_j=parts["launch_gap"], bound=tuple(name_bounds(fitted.spec, energy_j, duration_s, parts)),
        provenance=tuple(str(total["provenance"]) for total in totals),
    )  # fmt: skip
