"""What each leaf of a tree costs in its place: its learned weight, the wait for the host before it, the power cap.

The one account of a whole: `Predictor.predict` shows it, and training calibrates its intervals on it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irene.errors import UnknownName
from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_model import LeafValues
from irene.predictor.aggregation import Weights, weight_features
from irene.predictor.host_model import HostModel
from irene.predictor.shared_clock import share_clock
from irene.predictor.timeline import run_timeline
from irene.predictor.tree_leaves import TreeLeaves

FloatArray = NDArray[np.float64]
_EXECUTIONS = ("eager", "cuda_graph")
HOST_BOUND_SHARE = 0.15
"""Where the GPU waits longer than this share of the time, the host decides it and its error: utilisation < 85 %."""


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """Time and energy of every leaf inside the whole, in call order.

    `alone_s` and `alone_j` are the leaf's in a loop of its own (experts with the loads of a router), `busy_s` and
    `busy_j` the same with its weights, `gap_s` and `gap_j` the wait before it. `issue_s` is the host's time (0 in a
    captured graph). `stretch` is how much longer everything takes because the board does not draw more than its cap;
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
    stretch: float
    regime: str

    @property
    def energy_j(self) -> FloatArray:
        return self.busy_j + self.gap_j

    @property
    def duration_s(self) -> FloatArray:
        return self.stretch * (self.busy_s + self.gap_s)


def place_leaves(
    leaves: TreeLeaves, alone: LeafValues, weights: Weights, host: HostModel, execution: str, spec: DeviceSpec
) -> Placement:
    """The placement of a tree whose distinct leaves cost `alone` (values by row of `leaves.table`).

    Raises UnknownName for an execution that is neither 'eager' nor 'cuda_graph'.
    """
    if execution not in _EXECUTIONS:
        raise UnknownName("execution", execution, _EXECUTIONS)
    # A captured graph never waits for the host.
    issue_s = host.issue_s(leaves.flat) if execution == "eager" else np.zeros(len(leaves.row_of_leaf))
    return place_issued(leaves, alone, weights, issue_s, execution, spec)


def place_issued(
    leaves: TreeLeaves, alone: LeafValues, weights: Weights, issue_s: FloatArray, execution: str, spec: DeviceSpec
) -> Placement:
    """As `place_leaves`, for leaves that take the host `issue_s` each; shape (leaves,)."""
    at = leaves.row_of_leaf
    features = weight_features(leaves.table, alone, execution)
    running = share_clock(alone, leaves.counts, float(issue_s.sum()), spec)
    chain_s = weights.chain_gap_s * leaves.table.launches
    busy_s = (running.duration_s * weights.of_duration(features) + chain_s)[at]
    busy_j = (running.energy_j * weights.of_energy(features) + spec.context_idle_power_w * chain_s)[at]
    gap_s = run_timeline(issue_s, busy_s).gap_s
    gap_j = spec.context_idle_power_w * gap_s
    energy_j, duration_s = float(busy_j.sum() + gap_j.sum()), float(busy_s.sum() + gap_s.sum())
    return Placement(
        leaves=leaves, alone_s=alone.duration_s[at], alone_j=alone.energy_j[at], busy_s=busy_s, busy_j=busy_j,
        issue_s=issue_s, gap_s=gap_s, gap_j=gap_j,
        stretch=max(1.0, energy_j / (duration_s * spec.power_cap_w)) if duration_s > 0 else 1.0,
        regime=_regime_of(execution, float(gap_s.sum()), duration_s),
    )  # fmt: skip


def _regime_of(execution: str, gap_s: float, duration_s: float) -> str:
    if execution == "eager" and gap_s > HOST_BOUND_SHARE * duration_s:
        return "host_bound"
    return execution
