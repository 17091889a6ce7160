"""The one chain from calls to joules: a prediction, a sweep and training all price by it.

    leaves of a tree -> loads of experts -> alone (asked of the regressors) -> in their place -> every node of the tree

The regressors are asked once for all passes of a workload: they answer many rows nearly as fast as one. Everything
after them is a pass's own: what its leaves wait for the host, its clock under the power cap, its regime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np

from irene.arrays import FloatArray
from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_model import LeafPrices, LeafValues, join_values
from irene.leaves.leaf_table import LeafTable, join_tables
from irene.passes.counted import Pass
from irene.predictor.aggregation import Weights
from irene.predictor.attribution import attribute
from irene.predictor.domain import Distance, Domain
from irene.predictor.host_model import HostModel
from irene.predictor.intervals import Intervals
from irene.predictor.load_imbalance import Loads, RouterLoads, apply_load_imbalance, without_idle
from irene.predictor.node_values import NodeValues
from irene.predictor.routed_loads import loads_of, require_experts
from irene.predictor.steady_state import Placement, place_issued
from irene.predictor.tree_leaves import TreeLeaves, tabulate_passes

# Rows whose features are held in memory at once.
_ROWS_AT_ONCE = 20_000


class Learned(Protocol):
    """What a predictor has learned, as far as pricing asks for it."""

    @property
    def spec(self) -> DeviceSpec: ...
    @property
    def leaves(self) -> LeafPrices: ...
    @property
    def host(self) -> HostModel: ...
    @property
    def weights(self) -> Weights: ...
    @property
    def intervals(self) -> Intervals: ...
    @property
    def domain(self) -> Domain: ...


@dataclass(frozen=True, slots=True, eq=False)
class PricedTable:
    """Distinct calls, idle experts left out, and what each costs alone; `alone` has one value a row of `table`."""

    table: LeafTable
    alone: LeafValues

    def leaves_of(self, leaves: TreeLeaves) -> TreeLeaves:
        """The leaves of a tree whose distinct calls these are."""
        return replace(leaves, table=self.table)


@dataclass(frozen=True, eq=False)
class PricedPass:
    """A pass with what one run of it costs: each leaf in its place, its provenance, and the values of every node.

    `distance` is how far each leaf is from what was timed.
    `energy_j` and `duration_s` are of all its runs.
    """

    of: Pass
    placed: Placement
    provenance: tuple[str, ...]
    distance: Distance
    by: Learned

    @cached_property
    def values(self) -> NodeValues:
        return attribute(self.placed, self.provenance, self.distance, self.by.intervals, self.by.spec)

    @property
    def energy_j(self) -> float:
        return self.of.count * float(self.values.energy_j[0])

    @property
    def duration_s(self) -> float:
        return self.of.count * float(self.values.duration_s[0])


def price_passes(learned: Learned, passes: Sequence[Pass], seen: RouterLoads | None = None) -> list[PricedPass]:
    """Price each pass, experts with the loads that were `seen`, else with those of its workload's routing.

    Pure arithmetic, no torch. Raises BadInput for a routing of a model without experts, and of another number of them.
    """
    spec, domain = learned.spec, learned.domain
    found = tabulate_passes(passes, spec)
    priced = []
    issue_s: dict[int, FloatArray] = {}
    known = _Known(domain)
    tables = price_tables(learned.leaves, [leaves.table for leaves in found], _loads_of(passes, found, seen))
    for each, leaves, costs in zip(passes, found, tables, strict=True):
        routed, execution = costs.leaves_of(leaves), each.tree.workload.execution
        if id(leaves.flat) not in issue_s:  # passes of one tree have one
            # A captured graph never waits for the host.
            is_eager = execution == "eager"
            issue_s[id(leaves.flat)] = (
                learned.host.issue_s(leaves.flat) if is_eager else np.zeros(len(leaves.row_of_leaf))
            )
        placed = place_issued(routed, costs.alone, learned.weights, issue_s[id(leaves.flat)], execution, spec)
        by_row, distance_by_row = known.of(routed.table)
        provenance = tuple([by_row[row] for row in routed.row_of_leaf.tolist()])
        distance = distance_by_row.take(routed.row_of_leaf)
        priced.append(PricedPass(each, placed, provenance, distance, learned))
    return priced


def _loads_of(passes: Sequence[Pass], found: Sequence[TreeLeaves], seen: RouterLoads | None) -> list[list[Loads]]:
    """The loads of each distinct call of each pass."""
    tables = [leaves.table for leaves in found]
    if seen is not None:
        return [[seen] * len(table.calls) for table in tables]
    for tree in (each.tree for each in passes[:1]):
        require_experts((call for table in tables for call in table.calls), tree.workload.expert_routing, tree.model)
    return [loads_of(table, each.tree.workload.expert_routing) for each, table in zip(passes, tables, strict=True)]


def price_tables(
    regressors: LeafPrices, tables: Sequence[LeafTable], loads: Sequence[Sequence[Loads]]
) -> list[PricedTable]:
    """What the distinct calls of each table cost alone, experts with its `loads`: one value a row."""
    if not tables:
        return []
    routed = [without_idle(table, own) for table, own in zip(tables, loads, strict=True)]
    ends = np.cumsum([len(table.calls) for table in routed])
    every = _ask_once(regressors, join_tables(routed)) if len(routed) > 1 else _ask(regressors, routed[0])
    together = every.split(ends[:-1])
    return [
        PricedTable(table, apply_load_imbalance(alone, table, own))
        for table, alone, own in zip(routed, together, loads, strict=True)
    ]


_Key = tuple[int, str, bool]
"""A row of a table, by the identity of its call: passes of one tree share most of theirs."""


def _keys_of(table: LeafTable) -> list[_Key]:
    return [(id(c), dtype, cold) for c, dtype, cold in zip(table.calls, table.dtypes, table.cold.tolist(), strict=True)]


class _Known:
    """Provenance and distance of rows, each found once."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._found: dict[_Key, tuple[str, float, bool]] = {}

    def of(self, table: LeafTable) -> tuple[list[str], Distance]:
        keys = _keys_of(table)
        new = [row for row, key in enumerate(keys) if key not in self._found]
        if new:
            fresh = table.take(np.array(new, dtype=np.int64))
            words_of_fresh = self._domain.provenance_of(fresh)
            far = self._domain.distance_of(fresh, words_of_fresh)
            found = zip(words_of_fresh, far.octaves.tolist(), far.is_new_form.tolist(), strict=True)
            self._found.update(zip([keys[row] for row in new], found, strict=True))
        words, octaves, new_form = zip(*[self._found[key] for key in keys], strict=True) if keys else ((), (), ())
        return list(words), Distance(np.array(octaves, dtype=np.float64), np.array(new_form, dtype=np.bool_))


def _ask_once(regressors: LeafPrices, table: LeafTable) -> LeafValues:
    """The answer of the regressors, each distinct row asked for once."""
    place: dict[_Key, int] = {}
    row_of = np.array([place.setdefault(key, len(place)) for key in _keys_of(table)], dtype=np.int64)
    if len(place) == len(row_of):
        return _ask(regressors, table)
    first = np.unique(row_of, return_index=True)[1]
    return _ask(regressors, table.take(first)).take(row_of)


def _ask(regressors: LeafPrices, table: LeafTable) -> LeafValues:
    """The answer of the regressors, so many rows at a time that their features fit into memory."""
    if len(table.calls) <= _ROWS_AT_ONCE:
        return regressors.predict(table)
    parts = []
    for start in range(0, len(table.calls), _ROWS_AT_ONCE):
        chosen = np.zeros(len(table.calls), dtype=np.bool_)
        chosen[start : start + _ROWS_AT_ONCE] = True
        parts.append(regressors.predict(table.take(chosen)))
    return join_values(parts)
