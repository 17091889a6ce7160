"""A tree and a fitted predictor -> a Prediction: leaves, host timeline, weights, account, interval, provenance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irene.hardware.roofline import compute_s, memory_s
from irene.hardware.spec import DeviceSpec
from irene.model_tree.graph import FlatTree, flatten
from irene.model_tree.tree import ModelTree
from irene.predictor.aggregation import Weights, weight_features
from irene.predictor.domain import Domain
from irene.predictor.host_model import HostModel
from irene.predictor.intervals import Intervals
from irene.predictor.leaf_model import LeafModel, LeafValues
from irene.predictor.leaf_table import LeafTable, effective_dtype, make_table
from irene.predictor.prediction import PROVENANCES, NodeValues, Prediction, PredictorInfo
from irene.predictor.reuse import find_cold
from irene.predictor.timeline import Timeline, run_timeline
from irene.primitives.call import Call

from irene.primitives.work import count_work

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class TreeLeaves:
    """The distinct leaves of a tree as a table, and for each leaf of the tree its row in it, in call order."""

    flat: FlatTree
    table: LeafTable
    row_of_leaf: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class LeafEstimates:
    """Primitives alone, each in a loop of its own: arrays of one length, `low_j` to `high_j` a 90 % interval."""

    duration_s: FloatArray
    power_w: FloatArray
    energy_j: FloatArray
    low_j: FloatArray
    high_j: FloatArray
    provenance: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """Everything learned for one device; `irene.predictor.bundle` saves and loads it."""

    info: PredictorInfo
    spec: DeviceSpec
    leaves: LeafModel
    host: HostModel
    weights: Weights
    intervals: Intervals
    domain: Domain

    def predict(self, tree: ModelTree) -> Prediction:
        """Predict the energy and time of every call of a tree, in the execution that its workload names."""
        leaves = tabulate_leaves(tree, self.spec)
        alone = self.leaves.predict(leaves.table)
        execution = tree.workload.execution
        features = weight_features(leaves.table, alone.duration_s, execution)
        return _assemble(self, tree, leaves, alone, features)

    def sum_of_leaves_j(self, tree: ModelTree) -> float:
        """The plain sum of the leaves' energies, each as measured alone: no weights, no host."""
        leaves = tabulate_leaves(tree, self.spec)
        return float(self.leaves.predict(leaves.table).energy_j[leaves.row_of_leaf].sum())

    def predict_primitives(self, calls: Sequence[Call], dtypes: Sequence[str], weights: Sequence[str]) -> LeafEstimates:
        """Primitives replayed alone; `weights` are 'hot' or 'cold'. All sequences have one length."""
        effective = [effective_dtype(call, dtype) for call, dtype in zip(calls, dtypes, strict=True)]
        table = make_table(calls, effective, [w == "cold" for w in weights], self.spec)
        values = self.leaves.predict(table)
        provenance = self.domain.provenance_of(table)
        width = np.array([self.intervals.of_kind(k, p) for k, p in zip(table.kinds, provenance, strict=True)])
        energy_j = values.energy_j
        low_j, high_j = energy_j * np.exp(-width), energy_j * np.exp(width)
        return LeafEstimates(values.duration_s, values.power_w, energy_j, low_j, high_j, tuple(provenance))


def tabulate_leaves(tree: ModelTree, spec: DeviceSpec) -> TreeLeaves:
    """Find the distinct leaves: the same call with weights hot or cold. A model of 10,000 leaves has some fifty."""
    flat = flatten(tree)
    calls = [flat.nodes[i].call for i in flat.leaf_index]
    works = {call: count_work(call) for call in set(calls) if call is not None}
    traffic = np.array([works[c].traffic_bytes for c in calls if c is not None], dtype=np.float64)
    weight = np.array([works[c].weight_bytes for c in calls if c is not None], dtype=np.float64)
    cold = find_cold(flat, traffic, weight, spec.l2_bytes)
    rows: dict[tuple[Call, bool], int] = {}
    row_of_leaf = np.zeros(len(calls), dtype=np.int64)
    for index, call in enumerate(calls):
        assert call is not None
        row_of_leaf[index] = rows.setdefault((call, bool(cold[index])), len(rows))
    distinct = [call for call, _ in rows]
    dtypes = [effective_dtype(call, tree.workload.dtype) for call in distinct]
    return TreeLeaves(flat, make_table(distinct, dtypes, [is_cold for _, is_cold in rows], spec), row_of_leaf)


def lay_out(host: HostModel, leaves: TreeLeaves, duration_s: FloatArray, execution: str) -> Timeline:
    """The timeline of a tree whose distinct leaves take `duration_s`; a captured graph never waits for the host."""
    gpu_s = duration_s[leaves.row_of_leaf]
    if execution == "cuda_graph":
        return Timeline(float(gpu_s.sum()), np.zeros_like(gpu_s))
    return run_timeline(host.issue_s(leaves.flat), gpu_s)


def regime_of(execution: str, timeline: Timeline) -> str:
    """'cuda_graph', 'eager', or 'host_bound' where the GPU waits more than 15 % of the time."""
    if execution == "cuda_graph":
        return "cuda_graph"
    waits = float(timeline.gap_s.sum()) > 0.15 * timeline.duration_s
    return "host_bound" if waits else "eager"


def _assemble(predictor: Predictor, tree: ModelTree, leaves: TreeLeaves, alone: LeafValues, features: FloatArray) -> Prediction:
    spec, flat, table, at = predictor.spec, leaves.flat, leaves.table, leaves.row_of_leaf
    execution = tree.workload.execution
    weighted_s = alone.duration_s * predictor.weights.of_duration(features)
    weighted_j = alone.energy_j * predictor.weights.of_energy(features)
    timeline = lay_out(predictor.host, leaves, weighted_s, execution)
    idle_w = spec.context_idle_power_w

    gap_j = idle_w * timeline.gap_s
    busy_s, busy_j = weighted_s[at], weighted_j[at]
    energy_j = busy_j + gap_j
    duration_s = busy_s + timeline.gap_s
    # The board's cap holds for the whole: where the leaves ask for more, clocks give way and time stretches.
    stretch = max(1.0, float(energy_j.sum()) / max(float(duration_s.sum()) * spec.power_cap_w, 1e-30))
    static_j = np.minimum(idle_w * busy_s, busy_j)
    compute_share = _compute_shares(table, spec)[at]
    parts = {
        "compute": (busy_j - static_j) * compute_share,
        "memory": (busy_j - static_j) * (1 - compute_share),
        "static": static_j,
        "launch_gap": gap_j,
    }
    provenance = predictor.domain.provenance_of(table)
    leaf_provenance = [provenance[row] for row in at]
    regime = regime_of(execution, timeline)
    values = _roll_up(
        predictor, leaves, energy_j, duration_s * stretch, parts, alone, leaf_provenance, regime, execution
    )
    shares = _shares(leaf_provenance, energy_j)
    return Prediction(tree, spec.name, predictor.info, values, shares)


def _roll_up(
    predictor: Predictor, leaves: TreeLeaves, energy_j: FloatArray, duration_s: FloatArray, parts: dict[str, FloatArray],
    alone: LeafValues, provenance: list[str], regime: str, execution: str,
) -> NodeValues:  # fmt: skip
    spec, flat, table, at = predictor.spec, leaves.flat, leaves.table, leaves.row_of_leaf
    summed = {name: flat.sum_up(values) for name, values in parts.items()}
    node_j = np.sum(list(summed.values()), axis=0)
    node_s = flat.sum_up(duration_s)
    gpu_s = flat.sum_up(alone.duration_s[at])
    issue_s = predictor.host.issue_s(flat) if execution == "eager" else np.zeros(len(at))
    waiting_s = np.maximum(flat.sum_up(issue_s) - gpu_s, 0.0)
    isolated_j = flat.sum_up(alone.energy_j[at]) + spec.context_idle_power_w * waiting_s

    ranks = np.array([PROVENANCES.index(p) for p in provenance], dtype=np.float64)
    worst = [PROVENANCES[int(rank)] for rank in _largest_below(flat, ranks)]
    width = np.full(len(flat), predictor.intervals.of_regime(regime))
    kinds = [table.kinds[row] for row in at]
    width[flat.leaf_index] = [predictor.intervals.of_kind(k, p) for k, p in zip(kinds, provenance, strict=True)]
    flop, traffic = flat.sum_up(table.flop[at]), flat.sum_up(table.traffic_bytes[at])
    return NodeValues(
        energy_j=node_j,
        low_j=node_j * np.exp(-width),
        high_j=node_j * np.exp(width),
        duration_s=node_s,
        isolated_energy_j=isolated_j,
        compute_j=summed["compute"],
        memory_j=summed["memory"],
        static_j=summed["static"],
        launch_gap_j=summed["launch_gap"],
        flop=flop,
        traffic_bytes=traffic,
        provenance=tuple(worst),
        bound=tuple(_bounds(spec, node_j, node_s, summed)),
    )


def _compute_shares(table: LeafTable, spec: DeviceSpec) -> FloatArray:
    """How much of a call's dynamic energy goes into arithmetic: its compute time against its memory time."""
    shares = []
    for call, dtype in zip(table.calls, table.dtypes, strict=True):
        work = count_work(call)
        compute, memory = compute_s(work, dtype, spec), memory_s(work, spec)
        shares.append(compute / (compute + memory) if compute + memory > 0 else 0.0)
    return np.array(shares, dtype=np.float64)


def _bounds(spec: DeviceSpec, energy_j: FloatArray, duration_s: FloatArray, parts: dict[str, FloatArray]) -> list[str]:
    gap_s = parts["launch_gap"] / spec.context_idle_power_w
    power_w = np.divide(energy_j, duration_s, out=np.zeros_like(energy_j), where=duration_s > 0)
    bounds = []
    for index in range(len(energy_j)):
        if duration_s[index] <= 0:
            bounds.append("")
        elif gap_s[index] > 0.5 * duration_s[index]:
            bounds.append("host_bound")
        elif power_w[index] > 0.95 * spec.power_cap_w:
            bounds.append("power_bound")
        else:
            bounds.append("compute_bound" if parts["compute"][index] > parts["memory"][index] else "memory_bound")
    return bounds


def _largest_below(flat: FlatTree, leaf_values: FloatArray) -> FloatArray:
    """The largest leaf value at or below each node; 0 where there is no leaf."""
    padded = np.concatenate([leaf_values, [0.0]])
    bounds = np.stack([flat.leaf_start, flat.leaf_end], axis=1).ravel()
    largest: FloatArray = np.maximum.reduceat(padded, bounds)[::2]
    largest[flat.leaf_start == flat.leaf_end] = 0.0
    return largest


def _shares(provenance: list[str], energy_j: FloatArray) -> dict[str, float]:
    total = float(energy_j.sum())
    labels = np.array(provenance)
    return {p: float(energy_j[labels == p].sum()) / total if total > 0 else 0.0 for p in PROVENANCES}
