"""A grid of points -> their energies: each distinct call of many points priced once, then all points put together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from irene.account import PARTS
from irene.arrays import FloatArray, IntArray
from irene.leaves.leaf_table import effective_dtype, make_table
from irene.model_tree.expert_routing import BALANCED
from irene.model_tree.workload import Workload
from irene.predictor.bounds import name_bounds
from irene.predictor.pipeline import price_tables
from irene.predictor.predictor import Predictor
from irene.predictor.reuse import WeightUses, find_uses
from irene.predictor.routed_loads import loads_of, require_experts
from irene.predictor.sweep_calls import find_alike, stack_calls
from irene.predictor.sweep_totals import HostSide, RowPrices, price_rows, total_points
from irene.predictor.sweep_values import Progress, SweepValues, no_progress
from irene.primitives.call import Call
from irene.primitives.read_backs import reads_back
from irene.primitives.stacks import CallStack, words_of
from irene.tracing.trace_blocks import gather_blocks

if TYPE_CHECKING:
    from irene.tracing.grid import Grid
    from irene.tracing.short_traces import Outline

_POINTS_AT_ONCE = 3000  # whose distinct calls are held in memory
_NUMBERS = ("energy_j", "low_j", "high_j", "duration_s", *(f"{part}_j" for part in PARTS))


def predict_grid(fitted: Predictor, grid: Grid, progress: Progress = no_progress) -> SweepValues:
    """The values of every point of a grid, in its order."""
    execution = grid.workloads[0].execution
    hosts = [_host_side(fitted, outline, execution) for outline in grid.outlines]
    uses = [find_uses(outline.flat) for outline in grid.outlines]
    totals = {name: np.empty(len(grid.workloads)) for name in _NUMBERS}
    provenance = [""] * len(grid.workloads)
    # Points of as many tokens ask the regressors the same of most calls: side by side, they are asked once.
    by_tokens = np.argsort([work.batch_size * (work.seq_len or 1) for work in grid.workloads], kind="stable")
    for start in range(0, len(by_tokens), _POINTS_AT_ONCE):
        asked = by_tokens[start : start + _POINTS_AT_ONCE]
        _price_points(fitted, grid, asked, hosts, uses, totals, provenance)
        progress(len(asked))
    return _collect(totals, provenance, fitted, grid.workloads[0].gpus)


def _host_side(fitted: Predictor, outline: Outline, execution: str) -> HostSide:
    flat = outline.flat
    issue_s = fitted.host.issue_s(flat) if execution == "eager" else np.zeros(len(flat.leaf_index))
    calls = (flat.nodes[at].call for at in flat.leaf_index)
    return HostSide(issue_s, np.array([call is not None and reads_back(call) for call in calls], dtype=np.bool_))


def _price_points(
    fitted: Predictor, grid: Grid, asked: IntArray, hosts: Sequence[HostSide], uses: Sequence[WeightUses],
    totals: dict[str, FloatArray], provenance: list[str],
) -> None:  # fmt: skip
    """Fill in the root's values at some points of a grid."""
    workload = grid.workloads[0]
    blocks = gather_blocks([grid.traces.held[point] for point in asked.tolist()])
    calls, call_of_slot = stack_calls(grid.patterns, blocks)
    groups = list(find_alike(calls, blocks, call_of_slot, grid.outlines, uses, fitted.spec.l2_bytes))
    row_of_key = np.zeros(2 * len(calls), dtype=np.int64)
    for group in groups:
        row_of_key[group.keys] = 1
    used = np.flatnonzero(row_of_key)
    row_of_key[used] = np.arange(len(used))
    prices = _price(fitted, calls.take(used // 2), (used % 2 == 1).tolist(), workload)
    for group in groups:
        rows, host = row_of_key[group.keys], hosts[group.outline]
        found, words = total_points(rows, group.class_of_leaf, host, prices, fitted.intervals, workload.execution)
        points = asked[group.points]
        for name, values in found.items():
            totals[name][points] = values
        for point, word in zip(points.tolist(), words, strict=True):
            provenance[point] = word


def _price(fitted: Predictor, calls: CallStack, cold: Sequence[bool], workload: Workload) -> RowPrices:
    def mode_of(call: Call) -> str:
        return effective_dtype(call, workload.dtype)

    routing, execution = workload.expert_routing, workload.execution
    if routing != BALANCED:
        require_experts(calls, routing, "The model")
    table = make_table(calls, words_of(mode_of, calls), cold, fitted.spec)
    (costs,) = price_tables(fitted.leaves, [table], [loads_of(table, routing)])
    return price_rows(costs.table, costs.alone, fitted.weights, fitted.intervals, fitted.domain, execution)


def _collect(totals: dict[str, FloatArray], provenance: list[str], fitted: Predictor, ranks: int) -> SweepValues:
    """The values of all points, the boards of `ranks` together."""
    one_j, duration_s = totals["energy_j"], totals["duration_s"]
    own = {name: totals[f"{name}_j"] for name in PARTS}
    bound = tuple(name_bounds(fitted.spec, one_j, duration_s, own))
    energy_j, parts = ranks * one_j, {name: ranks * values for name, values in own.items()}
    low_j, high_j = np.minimum(ranks * totals["low_j"], energy_j), np.maximum(ranks * totals["high_j"], energy_j)
    power_w = np.divide(energy_j, duration_s, out=np.full(len(one_j), np.nan), where=duration_s > 0)
    return SweepValues(
        energy_j=energy_j, low_j=low_j, high_j=high_j, duration_s=duration_s,
        power_w=power_w, **{f"{name}_j": values for name, values in parts.items()},
        bound=bound, provenance=tuple(provenance),
    )  # fmt: skip
