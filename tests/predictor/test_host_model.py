"""What the host needs before each call: per op, per module entered, times a factor."""

from __future__ import annotations

import numpy as np
import pytest

from irene.model_tree.graph import flatten
from irene.model_tree.tree import Node
from irene.predictor.host_model import HostModel, make_host_model
from tests.predictor.made_law import UNKNOWN, VIEW, gelu, leaf, linear

HOST = HostModel({"aten.linear.default": 20.0}, launch_s=10.0, view_s=3.0, module_s=1.0, factor=2.0)


def test_ops_and_modules_before_each_leaf() -> None:
    """Root and a module before `linear`, nothing more before the view, two modules before gelu, none before mystery."""
    first = Node("module", "a", "A", (leaf(linear(8, 8, 8), 0, "a"), leaf(VIEW, 0, "a")))
    second = Node("module", "b", "B", (Node("module", "b.c", "C", (leaf(gelu(8, 8), 0, "b.c"),)),))
    flat = flatten(Node("model", "", "Net", (first, second, leaf(UNKNOWN))))
    assert HOST.issue_s(flat).tolist() == [2 * (20 + 2), 2 * 3, 2 * (10 + 2), 2 * 10]


def test_ops_that_were_not_measured_take_the_median_of_their_like() -> None:
    costs_s = {"a": 1.0, "b": 3.0, "c": 8.0, "view": 0.5, "size": 0.1}
    host = make_host_model(costs_s, 0.25, {"a", "b", "c"})
    assert (host.launch_s, host.view_s, host.module_s, host.factor) == (3.0, pytest.approx(0.3), 0.25, 1.0)


def test_a_cost_is_never_a_plausible_zero() -> None:
    host = make_host_model({"a": 1.0, "b": 3.0}, 0.25, set())
    assert (host.launch_s, host.view_s) == (2.0, 2.0)
    assert make_host_model({"a": 1.0}, 0.0, {"a"}).view_s == 1.0


def test_nothing_called_costs_nothing() -> None:
    assert HOST.issue_s(flatten(Node("model", "", "Net"))).tolist() == np.zeros(0).tolist()
