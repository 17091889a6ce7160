"""What each leaf of a tree costs in its place: its learned weight, the wait for the host before it, the power cap.

The one account of a pass: `Predictor.predict` shows it, and training calibrates its intervals on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from irene.account import name_regime
from irene.arrays import FloatArray, IntArray
from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_model import LeafValues
from irene.leaves.leaf_table import LeafTable
from irene.predictor.aggregation import Weights, weight_features
from irene.predictor.host_model import HostModel
from irene.predictor.power_cap import share_clock
from irene.predictor.timeline import run_timeline
from irene.predictor.tree_leaves import TreeLeaves


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Time and energy of every leaf inside the pass, in call order.

    `alone_s` and `alone_j` are the leaf's in a loop of its own (experts with the loads of a router), `busy_s` and
    `busy_j` the same with its weights, `gap_s` and `gap_j` the wait before it. `issue_s` is the host's time (0 in a
    captured graph). `throttling` is how much longer everything takes because the board does not draw more than its cap;
    energy does not change by it.
    """

    leaves: TreeLeaves
    alone_s: FloatArray
    alone_j: FloatArray
    busy_s: FloatArray
    busy_j: FloatArray
    issue_s: FloatArray
    gap_s: FloatArray
    gap_j: FloatArray
    throttling: float
    regime: str
    execution: str

    @property
    def wait_share(self) -> float:
        """Share of the time in which the GPU waits for the host."""
        waits_s, runs_s = float(self.gap_s.sum()), float(self.busy_s.sum())
        return waits_s / (waits_s + runs_s) if waits_s > 0 else 0.0

    @property
    def energy_j(self) -> FloatArray:
        return self.busy_j + self.gap_j

    @property
    def duration_s(self) -> FloatArray:
        return self.throttling * (self.busy_s + self.gap_s)


def place_leaves(
    leaves: TreeLeaves, alone: LeafValues, weights: Weights, host: HostModel, execution: str, spec: DeviceSpec
) -> Placement:
    """The placement of a tree whose distinct leaves cost `alone` (values by row of `leaves.table`)."""
    # A captured graph never waits for the host.
    issue_s = host.issue_s(leaves.flat) if execution == "eager" else np.zeros(len(leaves.row_of_leaf))
    return place_issued(leaves, alone, weights, issue_s, execution, spec)


def place_issued(
    leaves: TreeLeaves, alone: LeafValues, weights: Weights, issue_s: FloatArray, execution: str, spec: DeviceSpec
) -> Placement:
    """As `place_leaves`, for leaves that take the host `issue_s` each; shape (leaves,)."""
    at = leaves.row_of_leaf
    running = share_clock(alone, leaves.counts, float(issue_s.sum()), spec)
    busy_s, busy_j = weigh_rows(leaves.table, alone, weights, execution).apply(running, spec.context_idle_power_w)
    return _settle(leaves, alone.duration_s[at], alone.energy_j[at], busy_s[at], busy_j[at], issue_s, execution, spec)


@dataclass(frozen=True, slots=True, eq=False)
class RowWeights:
    """What the rows of a table count in a pass: factors, the least they take, and what a chain adds to each."""

    by_duration: FloatArray
    by_energy: FloatArray
    least_s: FloatArray
    chain_s: FloatArray

    def take(self, rows: IntArray) -> RowWeights:
        """Those of some rows, in the shape of `rows`."""
        return RowWeights(self.by_duration[rows], self.by_energy[rows], self.least_s[rows], self.chain_s[rows])

    def apply(self, running: LeafValues, idle_power_w: float) -> tuple[FloatArray, FloatArray]:
        """Busy seconds and joules of rows that run as `running`."""
        busy_s: FloatArray = np.maximum(running.duration_s * self.by_duration, self.least_s) + self.chain_s
        busy_j: FloatArray = running.energy_j * self.by_energy + idle_power_w * self.chain_s
        return busy_s, busy_j


def weigh_rows(table: LeafTable, alone: LeafValues, weights: Weights, execution: str) -> RowWeights:
    """The weights of the rows of a table that cost `alone`."""
    features = weight_features(table, alone, execution)
    chain_s = np.where(table.launches, weights.chain_gap_s, 0.0)
    return RowWeights(weights.of_duration(features), weights.of_energy(features), table.least_s, chain_s)


def place_between(first: Placement, second: Placement, share: float, spec: DeviceSpec) -> Placement:
    """The placement of a pass that lies between two with the same calls of other sizes: at `share` (0 to 1) of the way.

    What the GPU does and what the host does go straight from one to the other; who waits for whom is worked out anew.
    """

    def between(a: FloatArray, b: FloatArray) -> FloatArray:
        return (1.0 - share) * a + share * b

    return _settle(
        first.leaves, between(first.alone_s, second.alone_s), between(first.alone_j, second.alone_j),
        between(first.busy_s, second.busy_s), between(first.busy_j, second.busy_j),
        between(first.issue_s, second.issue_s), first.execution, spec,
    )  # fmt: skip


def sum_placements(placed: Sequence[Placement], counts: Sequence[float]) -> Placement:
    """Several passes with the same calls, each so often, as one: its arrays are sums, its leaves those of the first."""

    def total(name: str) -> FloatArray:
        sums: FloatArray = np.sum([count * getattr(p, name) for p, count in zip(placed, counts, strict=True)], axis=0)
        return sums

    names = ("alone_s", "alone_j", "busy_s", "busy_j", "issue_s", "gap_s", "gap_j")
    sums = {name: total(name) for name in names}
    unthrottled_s = float(sums["busy_s"].sum() + sums["gap_s"].sum())
    duration_s = float(total("duration_s").sum())
    execution = placed[0].execution
    return Placement(
        leaves=placed[0].leaves, **sums, throttling=duration_s / unthrottled_s if unthrottled_s > 0 else 1.0,
        regime=name_regime(execution, float(sums["gap_s"].sum()), unthrottled_s), execution=execution,
    )  # fmt: skip


def _settle(
    leaves: TreeLeaves, alone_s: FloatArray, alone_j: FloatArray, busy_s: FloatArray, busy_j: FloatArray,
    issue_s: FloatArray, execution: str, spec: DeviceSpec,
) -> Placement:  # fmt: skip
    """Let the leaves run one after the other: who waits for the host, and how far the power cap slows them."""
    gap_s = run_timeline(issue_s, busy_s, leaves.reads_back if execution == "eager" else None).gap_s
    gap_j = spec.context_idle_power_w * gap_s
    energy_j, duration_s = float(busy_j.sum() + gap_j.sum()), float(busy_s.sum() + gap_s.sum())
    return Placement(
        leaves=leaves, alone_s=alone_s, alone_j=alone_j, busy_s=busy_s, busy_j=busy_j,
        issue_s=issue_s, gap_s=gap_s, gap_j=gap_j,
        throttling=max(1.0, energy_j / (duration_s * spec.power_cap_w)) if duration_s > 0 else 1.0,
        regime=name_regime(execution, float(gap_s.sum()), duration_s), execution=execution,
    )  # fmt: skip
