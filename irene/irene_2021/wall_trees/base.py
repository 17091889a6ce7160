"""The physics under every node: joules by roofline for the leaves, and for the work that no leaf accounts for."""

from __future__ import annotations

import numpy as np

from irene.irene_2021.node_table import Floats, NodeTable
from irene.irene_2021.wall_trees.devices import WallDevice
from irene.irene_2021.wall_trees.work import NodeWork

_LAUNCH_S = 5e-6  # what a call of PyTorch costs at least
_TILE = 128  # rows and columns of the output that one SM takes at a time

SELF_WORK = (
    "elementwise traffic", "scores, attention from Linear", "scores, attention from Conv1D",
    "activations, attention from Linear", "activations, attention from Conv1D", "calls", "embedding calls",
    "attention calls",
)  # fmt: skip
"""Kinds of work that an inner node does itself: residual sums, GELU, masks, scaling, permuting, splitting."""


def base_duration_s(flop: Floats, traffic_bytes: Floats, device: WallDevice) -> Floats:
    """Seconds by roofline, plus a launch."""
    seconds: Floats = np.maximum(flop / device.flop_per_s, traffic_bytes / device.bytes_per_s) + _LAUNCH_S
    return seconds


def leaf_features(table: NodeTable, work: NodeWork, rows: np.ndarray, device: WallDevice) -> Floats:
    """What a leaf's ratio to the roofline may depend on; sizes in log2. Shape (rows, features)."""
    m, n, k = work.m[rows], work.n[rows], work.k[rows]
    operation = table.operation[rows]
    waves = np.ceil(m / _TILE) * np.ceil(n / _TILE) / device.sm_count
    columns = [
        np.log2(m), np.log2(n), np.log2(k), np.log2(work.flop[rows] + 1), np.log2(work.traffic_bytes[rows] + 1),
        np.log2(waves), waves / np.ceil(waves),
        *((operation == name).astype(np.float64) for name in ("linear", "embedding", "layernorm", "softmax")),
    ]  # fmt: skip
    return np.column_stack(columns)


def self_work_s(table: NodeTable, work: NodeWork, device: WallDevice) -> Floats:
    """Seconds by roofline of what each inner node does beside its children, shape (nodes, len(SELF_WORK)).

    Elementwise traffic is the node's counted bytes less its children's. The counters miss most of what attention does
    between its products, so there it is priced by the size of scores and activations instead.
    """
    inner = ~table.is_leaf
    children_bytes = table.sum_children(table.feature("mem_bytes"))
    own_bytes = np.maximum(table.feature("mem_bytes") - children_bytes, 0.0) * 2.0**20

    def beneath(flag: np.ndarray) -> Floats:
        return table.sum_children(flag.astype(np.float64))

    is_softmax = table.is_leaf & (table.operation == "softmax")
    scores_bytes = table.sum_children(np.where(is_softmax, table.feature("mem_bytes") * 2.0**20, 0.0))
    attention = inner & (scores_bytes > 0)
    products = np.maximum(beneath(table.is_leaf & (table.operation == "matmul")), 1.0)
    hidden = table.sum_children(np.where(work.group == "matmul", work.k, 0.0)) / products
    activations_bytes = table.feature("input_size") * hidden * 4.0
    from_conv1d = attention & (beneath(table.operation == "conv1d") > 0)
    from_linear = attention & ~from_conv1d
    has_leaves = inner & (beneath(table.is_leaf) > 0)
    embeds = inner & (beneath(table.operation == "embedding") > 0)
    per_byte = 1.0 / device.bytes_per_s
    columns = [
        np.where(inner & ~attention, own_bytes, 0.0) * per_byte,
        from_linear * scores_bytes * per_byte,
        from_conv1d * scores_bytes * per_byte,
        from_linear * activations_bytes * per_byte,
        from_conv1d * activations_bytes * per_byte,
        has_leaves * _LAUNCH_S,
        embeds * _LAUNCH_S,
        attention * _LAUNCH_S,
    ]
    return np.column_stack(columns)
