"""From leaves to every node of a tree: energy and its parts, time, interval, provenance and what limits it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from irene.account import PARTS
from irene.arrays import BoolArray, FloatArray
from irene.hardware.roofline import compute_s, memory_s
from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_table import LeafTable
from irene.predictor.bounds import name_bounds
from irene.predictor.domain import Distance
from irene.predictor.intervals import Intervals
from irene.predictor.node_intervals import joules_by_provenance, name_provenance, node_bounds
from irene.predictor.node_values import PROVENANCES, NodeValues
from irene.predictor.steady_state import Placement
from irene.primitives.call import Call
from irene.primitives.stacks import numbers_of, pick, rows_by_word
from irene.primitives.work import count_work


def attribute(
    placed: Placement, provenance: Sequence[str], distance: Distance, intervals: Intervals, spec: DeviceSpec
) -> NodeValues:
    """Values of every node; sums up the tree are exact at every node.

    `provenance` and `distance` (how far it is from what was timed) are one a leaf, in call order.
    """
    flat, table, at = placed.leaves.flat, placed.leaves.table, placed.leaves.row_of_leaf
    busy, idle_w = (placed.busy_s, placed.busy_j, placed.gap_j), spec.context_idle_power_w
    split = split_energy(*busy, compute_shares(table, spec)[at], table.is_collective[at], idle_w)
    parts = {name: flat.sum_up(values) for name, values in split.items()}
    energy_j = np.sum(list(parts.values()), axis=0)
    duration_s = flat.sum_up(placed.duration_s)
    low_j, high_j = node_bounds(placed, provenance, distance, intervals)
    return NodeValues(
        energy_j=energy_j,
        low_j=np.minimum(low_j, energy_j),
        high_j=np.maximum(high_j, energy_j),
        duration_s=duration_s,
        isolated_energy_j=_isolate(placed, spec),
        **{f"{name}_j": values for name, values in parts.items()},
        flop=flat.sum_up(table.flop[at]),
        traffic_bytes=flat.sum_up(table.traffic_bytes[at]),
        provenance=name_provenance(flat.sum_up(joules_by_provenance(provenance, placed.energy_j))),
        bound=tuple(name_bounds(spec, energy_j, duration_s, parts)),
    )


def rescale(values: NodeValues, energy_j: float, duration_s: float, half_width: float) -> NodeValues:
    """The same shares of a root that is known better: its joules and seconds, and its half-width in log energy.

    A tree that launches nothing stays as it is.
    """
    if not values.energy_j[0] > 0 or not values.duration_s[0] > 0:
        return values
    by_energy, by_duration = energy_j / values.energy_j[0], duration_s / values.duration_s[0]
    names = ("energy_j", "low_j", "high_j", *(f"{part}_j" for part in PARTS))
    scaled = {name: getattr(values, name) * by_energy for name in names}
    scaled["low_j"][0], scaled["high_j"][0] = energy_j * np.exp(-half_width), energy_j * np.exp(half_width)
    return replace(values, **scaled, duration_s=values.duration_s * by_duration)


def share_provenance(provenance: Sequence[str], energy_j: FloatArray) -> dict[str, float]:
    """Which share of the energy each provenance has; all zero where there is no energy."""
    total_j = float(energy_j.sum())
    labels = np.array(provenance)
    return {p: float(energy_j[labels == p].sum()) / total_j if total_j > 0 else 0.0 for p in PROVENANCES}


def split_energy(
    busy_s: FloatArray, busy_j: FloatArray, gap_j: FloatArray, compute_share: FloatArray, exchanges: BoolArray,
    idle_power_w: float,
) -> dict[str, FloatArray]:  # fmt: skip
    """The parts of leaves' energy: idle power while they run and before, the rest by what the roofline says.

    All arrays are of one shape; `compute_share` is as `compute_shares` gives it, `exchanges` marks collectives.
    """
    static_j = np.minimum(idle_power_w * busy_s, busy_j)
    dynamic_j = busy_j - static_j
    on_chip_j = np.where(exchanges, 0.0, dynamic_j)
    return {
        "compute": on_chip_j * compute_share,
        "memory": on_chip_j * (1 - compute_share),
        "static": static_j,
        "launch_gap": gap_j,
        "communication": dynamic_j - on_chip_j,
    }


def compute_shares(table: LeafTable, spec: DeviceSpec) -> FloatArray:
    """How much of a call's dynamic energy goes into arithmetic: its compute time against its memory time."""
    shares = np.empty(len(table.calls))
    for dtype, rows in rows_by_word(table.dtypes).items():
        compute, memory = numbers_of(partial(_roofs_s, dtype=dtype, spec=spec), pick(table.calls, rows), 2)
        both = compute + memory
        shares[rows] = np.divide(compute, both, out=np.zeros_like(both), where=both > 0)
    return shares


def _roofs_s(call: Call, dtype: str, spec: DeviceSpec) -> tuple[float, float]:
    work = count_work(call)
    return compute_s(work, dtype, spec), memory_s(work, spec)


def _isolate(placed: Placement, spec: DeviceSpec) -> FloatArray:
    """Each node in a loop of its own: a module as a whole with its own timeline, a primitive without weights."""
    flat = placed.leaves.flat
    running_j, running_s = flat.sum_up(placed.busy_j), flat.sum_up(placed.busy_s)
    running_j[flat.leaf_index], running_s[flat.leaf_index] = placed.alone_j, placed.alone_s
    waiting_s = np.maximum(flat.sum_up(placed.issue_s) - running_s, 0.0)
    isolated_j: FloatArray = running_j + spec.context_idle_power_w * waiting_s
    return isolated_j
