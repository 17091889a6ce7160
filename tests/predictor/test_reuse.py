"""Weights are cold when more than the L2 was touched since their last use."""

from __future__ import annotations

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.model_tree.graph import flatten
from irene.model_tree.tree import ModelTree, Node
from irene.model_tree.workload import Workload
from irene.predictor.reuse import MIN_WEIGHT_BYTES, find_cold, find_uses
from irene.predictor.tree_leaves import tabulate_leaves
from tests.predictor.made_law import leaf, linear

SPEC = load_device("h200")
LARGE, SMALL = linear(64, 4096, 4096), linear(64, 1024, 1024)  # 34 MB and 2 MB of weights in bfloat16


def cold_of(
    weights: list[tuple[int, ...]], traffic_bytes: list[float], l2_bytes: float, weight_bytes: float = 1e7
) -> list[bool]:
    flat = flatten(Node("model", "", "Net", tuple(leaf(SMALL, i, "", ids) for i, ids in enumerate(weights))))
    return find_cold(find_uses(flat), np.array(traffic_bytes), np.full(len(weights), weight_bytes), l2_bytes).tolist()


def test_bytes_between_two_uses_decide() -> None:
    assert cold_of([(0,), (1,), (2,)], [10, 10, 10], 30) == [False] * 3  # the last call ends where the next begins
    assert cold_of([(0,), (1,), (2,)], [10, 10, 10], 29) == [True] * 3


def test_a_weight_used_twice_is_hot_the_second_time() -> None:
    """Uses at 0 and 10 of a lap of 60: 10 touched before the second use, 50 before the first of the next lap."""
    assert cold_of([(0,), (0,), (1,)], [10, 10, 40], 20) == [True, False, True]
    assert cold_of([(0,), (0,), (1,)], [10, 10, 40], 50) == [False, False, True]


def test_the_coldest_weight_of_a_leaf_counts() -> None:
    assert cold_of([(0,), (0, 1)], [10, 10], 15) == [False, True]


def test_small_weights_and_no_weights_are_hot() -> None:
    assert cold_of([(0,), ()], [100, 100], 1, MIN_WEIGHT_BYTES - 1) == [False, False]
    assert cold_of([(0,), ()], [100, 100], 1, MIN_WEIGHT_BYTES) == [True, False]


@pytest.mark.parametrize(("call", "shared", "cold"), [(SMALL, False, 0), (LARGE, False, 4), (LARGE, True, 0)])
def test_layers(call: object, shared: bool, cold: int) -> None:
    """Four small layers stay in the L2, four large do not, ALBERT's one layer called four times does."""
    layers = tuple(leaf(LARGE if call is LARGE else SMALL, i, "", (0 if shared else i,)) for i in range(4))
    leaves = tabulate_leaves(ModelTree(Node("model", "", "Net", layers), "made", Workload()), SPEC)
    assert leaves.table.cold[leaves.row_of_leaf].sum() == cold
    assert len(leaves.table.calls) == 1


def test_a_call_hot_here_and_cold_there_is_two_rows() -> None:
    """A large shared layer called three times, among others: cold at first, then hot."""
    calls = [(0, LARGE), (0, LARGE), (1, LARGE), (2, LARGE)]
    root = Node("model", "", "Net", tuple(leaf(call, i, "", (w,)) for i, (w, call) in enumerate(calls)))
    leaves = tabulate_leaves(ModelTree(root, "made", Workload()), SPEC)
    assert leaves.table.cold[leaves.row_of_leaf].tolist() == [True, False, True, True]
    assert leaves.row_of_leaf.tolist() == [0, 1, 0, 0]
