"""From leaves to every node of a tree: energy and its parts, time, interval, provenance and what limits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from irene.hardware.roofline import compute_s, memory_s
from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_table import LeafTable
from irene.model_tree.graph import FlatTree
from irene.predictor.intervals import Intervals
from irene.predictor.placement import HOST_BOUND_SHARE, Placement
from irene.predictor.prediction import PROVENANCES, NodeValues
from irene.primitives.work import count_work

FloatArray = NDArray[np.float64]
# A measured case is called power-bound from 95 % of the cap; predicted power is a few per cent wrong, and at the cap an
# error can only lower it. experiments/explanations has the agreement for other shares, and for one chosen elsewhere.
_POWER_BOUND_SHARE = 0.92


def attribute(placed: Placement, provenance: Sequence[str], intervals: Intervals, spec: DeviceSpec) -> NodeValues:
    """Values of every node; `provenance` is one a leaf, in call order. Sums up the tree are exact at every node."""
    flat, table, at = placed.leaves.flat, placed.leaves.table, placed.leaves.row_of_leaf
    split = split_energy(placed, compute_shares(table, spec), spec)
    parts = {name: flat.sum_up(values) for name, values in split.items()}
    energy_j = np.sum(list(parts.values()), axis=0)
    duration_s = flat.sum_up(placed.duration_s)
    ranks = np.array([PROVENANCES.index(p) for p in provenance], dtype=np.float64)
    width = np.full(len(flat), intervals.of_regime(placed.regime))
    kinds = [table.kinds[row] for row in at]
    width[flat.leaf_index] = [intervals.of_kind(k, p) for k, p in zip(kinds, provenance, strict=True)]
    return NodeValues(
        energy_j=energy_j,
        low_j=energy_j * np.exp(-width),
        high_j=energy_j * np.exp(width),
        duration_s=duration_s,
        isolated_energy_j=_isolate(placed, spec),
        compute_j=parts["compute"],
        memory_j=parts["memory"],
        static_j=parts["static"],
        launch_gap_j=parts["launch_gap"],
        flop=flat.sum_up(table.flop[at]),
        traffic_bytes=flat.sum_up(table.traffic_bytes[at]),
        provenance=tuple(PROVENANCES[int(rank)] for rank in _largest_below(flat, ranks)),
        bound=tuple(name_bounds(spec, energy_j, duration_s, parts)),
    )


def rescale(values: NodeValues, energy_j: float, duration_s: float, half_width: float) -> NodeValues:
    """The same shares of a root that is known better: its joules and seconds, and its half-width in log energy.

    A tree that launches nothing stays as it is.
    """
    if not values.energy_j[0] > 0 or not values.duration_s[0] > 0:
        return values
    by_energy, by_duration = energy_j / values.energy_j[0], duration_s / values.duration_s[0]
    names = ("energy_j", "low_j", "high_j", "compute_j", "memory_j", "static_j", "launch_gap_j")
    scaled = {name: getattr(values, name) * by_energy for name in names}
    scaled["low_j"][0], scaled["high_j"][0] = energy_j * np.exp(-half_width), energy_j * np.exp(half_width)
    return replace(values, **scaled, duration_s=values.duration_s * by_duration)


def share_provenance(provenance: Sequence[str], energy_j: FloatArray) -> dict[str, float]:
    """Which share of the energy each provenance has; all zero where there is no energy."""
    total_j = float(energy_j.sum())
    labels = np.array(provenance)
    return {p: float(energy_j[labels == p].sum()) / total_j if total_j > 0 else 0.0 for p in PROVENANCES}


def split_energy(placed: Placement, compute_share: FloatArray, spec: DeviceSpec) -> dict[str, FloatArray]:
    """The parts of each leaf's energy: idle power while it runs and before it, the rest by what the roofline says.

    `compute_share` has one value a row of the table, as `compute_shares` gives it.
    """
    static_j = np.minimum(spec.context_idle_power_w * placed.busy_s, placed.busy_j)
    dynamic_j = placed.busy_j - static_j
    of_leaf = compute_share[placed.leaves.row_of_leaf]
    return {
        "compute": dynamic_j * of_leaf,
        "memory": dynamic_j * (1 - of_leaf),
        "static": static_j,
        "launch_gap": placed.gap_j,
    }


def compute_shares(table: LeafTable, spec: DeviceSpec) -> FloatArray:
    """How much of a call's dynamic energy goes into arithmetic: its compute time against its memory time."""
    shares = []
    for call, dtype in zip(table.calls, table.dtypes, strict=True):
        work = count_work(call)
        compute, memory = compute_s(work, dtype, spec), memory_s(work, spec)
        shares.append(compute / (compute + memory) if compute + memory > 0 else 0.0)
    return np.array(shares, dtype=np.float64)


def _isolate(placed: Placement, spec: DeviceSpec) -> FloatArray:
    """Each node in a loop of its own: a module as a whole with its own timeline, a primitive without weights."""
    flat = placed.leaves.flat
    running_j, running_s = flat.sum_up(placed.busy_j), flat.sum_up(placed.busy_s)
    running_j[flat.leaf_index], running_s[flat.leaf_index] = placed.alone_j, placed.alone_s
    waiting_s = np.maximum(flat.sum_up(placed.issue_s) - running_s, 0.0)
    isolated_j: FloatArray = running_j + spec.context_idle_power_w * waiting_s
    return isolated_j


def name_bounds(
    spec: DeviceSpec, energy_j: FloatArray, duration_s: FloatArray, parts: Mapping[str, FloatArray]
) -> list[str]:
    """What limits each of some nodes, one of `BOUNDS`; all arrays, those of the parts too, are of one shape (nodes,).

    Where the GPU waits for the host, the host; where the board's mean power is near its cap, power; else whichever of
    arithmetic and memory traffic takes more of the dynamic energy.
    """
    gap_s = parts["launch_gap"] / spec.context_idle_power_w
    power_w = np.divide(energy_j, duration_s, out=np.zeros_like(energy_j), where=duration_s > 0)
    conditions = [
        duration_s <= 0,
        gap_s > HOST_BOUND_SHARE * duration_s,
        power_w > _POWER_BOUND_SHARE * spec.power_cap_w,
        parts["compute"] > parts["memory"],
    ]
    names = ["", "host_bound", "power_bound", "compute_bound"]
    return [str(bound) for bound in np.select(conditions, names, default="memory_bound")]


def _largest_below(flat: FlatTree, leaf_values: FloatArray) -> FloatArray:
    """The largest leaf value at or below each node; 0 where there is no leaf."""
    padded = np.concatenate([leaf_values, [0.0]])
    bounds = np.stack([flat.leaf_start, flat.leaf_end], axis=1).ravel()
    largest: FloatArray = np.maximum.reduceat(padded, bounds)[::2]
    largest[flat.leaf_start == flat.leaf_end] = 0.0
    return largest
