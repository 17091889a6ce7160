"""Shapes, FLOP and bytes that are worked out from the trees' own counters."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from irene.irene_2021.node_table import NodeTable, tabulate_nodes
from irene.irene_2021.wall_trees.base import SELF_WORK, base_duration_s, leaf_features, self_work_s
from irene.irene_2021.wall_trees.devices import GTX_1070, GTX_1080_TI
from irene.irene_2021.wall_trees.work import count_node_work
from tests.irene_2021.made_trees import table, tree


def of_scope(nodes: NodeTable, scope: str) -> int:
    return int(np.flatnonzero(nodes.scope == scope)[0])


@settings(deadline=None, max_examples=25)
@given(st.sampled_from(["Linear", "Conv1D"]), st.integers(2, 9), st.integers(2, 6), st.sampled_from([64, 96, 768]))
def test_products_get_their_shapes_back(cls: str, batch: int, length: int, hidden: int) -> None:
    nodes = tabulate_nodes([tree("bert-x", batch, 8 * length, hidden, 1, cls)])
    work = count_node_work(nodes)
    tokens = batch * 8 * length
    expected = {
        "root.0.attention.query": (tokens, hidden, hidden), "root.0.mlp.up": (tokens, 4 * hidden, hidden),
        "root.0.mlp.down": (tokens, hidden, 4 * hidden), "root.pooler.dense": (batch, hidden, hidden),
        "root.0.attention.matmul": (tokens, 8 * length, hidden), "root.0.norm": (tokens, hidden, 1),
        "root.0.attention.softmax": (4 * tokens, 8 * length, 1),
    }  # fmt: skip
    for scope, (m, n, k) in expected.items():
        row = of_scope(nodes, scope)
        assert (work.m[row], work.n[row], work.k[row]) == (m, n, k), scope
    row = of_scope(nodes, "root.0.mlp.up")  # each operand once, the weight too
    assert work.traffic_bytes[row] == 4 * (tokens * hidden + 4 * hidden * hidden + 4 * tokens * hidden)
    assert work.flop[row] >= 2 * tokens * hidden * 4 * hidden


def test_a_product_that_fits_no_shape_is_priced_as_a_square_one() -> None:
    nodes = tabulate_nodes([tree("gpt-b", 4, 32)])
    values = nodes.values.copy()
    row = of_scope(nodes, "root.0.mlp.up")
    values[row, 0] = 64.0 * 64  # a weight without bias: no shape with one fits
    values[row, 1] = 2 * 128 * 64 * 64 / 1e6
    work = count_node_work(dataclasses.replace(nodes, values=values))
    assert (work.m[row], work.n[row], work.k[row]) == (128, 64, 64)


def test_features_are_finite_and_the_roofline_bounds_time() -> None:
    nodes = table()
    work = count_node_work(nodes)
    rows = np.flatnonzero(nodes.is_leaf)
    assert np.isfinite(leaf_features(nodes, work, rows, GTX_1070)).all()
    slow = base_duration_s(work.flop, work.traffic_bytes, GTX_1070)
    fast = base_duration_s(work.flop, work.traffic_bytes, GTX_1080_TI)
    assert (slow >= fast).all() and (slow > work.flop / GTX_1070.flop_per_s).all()


def test_own_work_is_that_of_inner_nodes_only() -> None:
    nodes = tabulate_nodes([tree("bert-a", 4, 32, 64, 2), tree("gpt-b", 4, 32, 64, 2, "Conv1D")])
    seconds = self_work_s(nodes, count_node_work(nodes), GTX_1070)
    assert (seconds >= 0).all() and not seconds[nodes.is_leaf].any()
    column = {name: seconds[:, i] for i, name in enumerate(SELF_WORK)}
    mlp = of_scope(nodes, "root.1.mlp")
    assert np.isclose(column["elementwise traffic"][mlp] * GTX_1070.bytes_per_s, 2 * 4 * 128 * 4 * 64)
    attention = np.flatnonzero(nodes.scope == "root.0.attention")
    assert not column["elementwise traffic"][attention].any()
    linear, conv1d = (column[f"activations, attention from {cls}"][attention] for cls in ("Linear", "Conv1D"))
    assert np.allclose(linear * GTX_1070.bytes_per_s, [4 * 128 * 64, 0])
    assert np.allclose(conv1d * GTX_1070.bytes_per_s, [0, 4 * 128 * 64])
