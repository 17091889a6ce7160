"""The arrays of a tree agree with the tree, and sums over leaves with the root."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irene.errors import UnknownName
from irene.model_tree.addresses import address_nodes, find_nodes
from irene.model_tree.graph import flatten, to_networkx
from irene.model_tree.tree import ModelTree, Node

shapes = st.recursive(st.just(Node("primitive", "p", "op")), lambda inner: st.lists(inner, max_size=4).map(
    lambda children: Node("module", "m", "M", tuple(children))
), max_leaves=20)  # fmt: skip


@given(shapes, st.randoms(use_true_random=False))
def test_sums_are_those_of_recursion(root: Node, rng: Any) -> None:
    flat = flatten(root)
    values = np.array([rng.uniform(0, 10) ** 6 for _ in flat.leaf_index])
    sums = flat.sum_up(values)
    assert list(flat.nodes) == list(root.walk())
    assert sums[0] == pytest.approx(values.sum())
    by_leaf = dict(zip(flat.leaf_index, values, strict=True))
    for i in range(len(flat)):
        below = range(i, flat.subtree_end[i])
        assert sums[i] == pytest.approx(sum(by_leaf.get(j, 0.0) for j in below), rel=1e-12)
        assert len(below) == len(list(flat.nodes[i].walk()))
        assert flat.depth[i] == (flat.depth[flat.parent[i]] + 1 if i else 0)


@given(shapes)
def test_sums_of_several_columns(root: Node) -> None:
    flat = flatten(root)
    ones = np.ones((len(flat.leaf_index), 2)) * [1.0, 3.0]
    sums = flat.sum_up(ones)
    assert sums.shape == (len(flat), 2)
    assert (sums[:, 1] == 3 * sums[:, 0]).all()
    assert (sums[:, 0] == [sum(1 for _ in node.leaves) for node in flat.nodes]).all()


def test_small_values_survive_large_neighbours() -> None:
    small = Node("module", "b", "M", (Node("primitive", "b", "op"),))
    flat = flatten(Node("model", "", "M", (Node("primitive", "", "op"), small)))
    assert flat.sum_up(np.array([1e16, 0.1])).tolist() == [1e16 + 0.1, 1e16, 0.1, 0.1]


def test_wrong_lengths_are_refused(tree: ModelTree) -> None:
    flat = flatten(tree)
    with pytest.raises(ValueError, match="17 leaves"):
        flat.sum_up(np.ones(3))


def test_networkx(tree: ModelTree) -> None:
    graph = to_networkx(tree)
    flat = flatten(tree)
    assert len(graph) == len(flat) == graph.number_of_edges() + 1
    assert [graph.nodes[i]["name"] for i in graph.successors(1)] == ["dense", "view#0", "mul#0"]
    assert graph.graph["model"] == "tiny"


def test_every_address_finds_its_node(tree: ModelTree) -> None:
    flat = flatten(tree)
    addresses = address_nodes(flat)
    assert len(set(addresses)) == len(addresses)
    for index, address in enumerate(addresses):
        assert find_nodes(flat, address) == [index]


def test_addresses_of_several_calls(tree: ModelTree) -> None:
    flat = flatten(tree)
    addresses = address_nodes(flat)
    assert [addresses[i] for i in find_nodes(flat, "shared")] == ["shared@0", "shared@1", "shared@2"]
    assert [addresses[i] for i in find_nodes(flat, "shared/mul#0")] == [f"shared@{i}/mul#0" for i in range(3)]
    assert [addresses[i] for i in find_nodes(flat, "shared.dense@2")] == ["shared.dense@2"]
    assert [addresses[i] for i in find_nodes(flat, "layers.0@0")] == ["layers.0"]
    assert [addresses[i] for i in find_nodes(flat, "/linear#1")] == ["/linear#1"]
    assert find_nodes(flat, "") == [0]


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("layers.0.dens", "'layers.0.dense'"), ("shared@3", "'shared@"), ("layers.0/mul#1", "'layers.0/mul#0'")],
)
def test_unknown_address_names_the_nearest(tree: ModelTree, wrong: str, nearest: str) -> None:
    with pytest.raises(UnknownName, match=f"Unknown node '{wrong}'. Did you mean {nearest}"):
        find_nodes(flatten(tree), wrong)
