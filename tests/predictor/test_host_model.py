"""What the host needs before each call: per op, per module entered, times a factor, and around each call."""

from __future__ import annotations

import numpy as np
import pytest

from irene.model_tree.graph import flatten
from irene.model_tree.tree import Node
from irene.predictor.host_model import HostModel, fit_to_models, make_host_model
from tests.predictor.made_law import UNKNOWN, VIEW, gelu, leaf, linear

HOST = HostModel({"aten.linear.default": 20.0}, launch_s=10.0, view_s=3.0, module_s=1.0, factor=2.0, call_s=0.5)


def test_ops_and_modules_before_each_leaf() -> None:
    """Root and a module before `linear`, nothing more before the view, two modules before gelu, none before mystery."""
    first = Node("module", "a", "A", (leaf(linear(8, 8, 8), 0, "a"), leaf(VIEW, 0, "a")))
    second = Node("module", "b", "B", (Node("module", "b.c", "C", (leaf(gelu(8, 8), 0, "b.c"),)),))
    flat = flatten(Node("model", "", "Net", (first, second, leaf(UNKNOWN))))
    assert HOST.issue_s(flat).tolist() == [2 * (20 + 2) + 0.5, 2 * 3 + 0.5, 2 * (10 + 2) + 0.5, 2 * 10 + 0.5]


def test_ops_that_were_not_measured_take_the_median_of_their_like() -> None:
    costs_s = {"a": 1.0, "b": 3.0, "c": 8.0, "view": 0.5, "size": 0.1}
    host = make_host_model(costs_s, 0.25, {"a", "b", "c"})
    assert (host.launch_s, host.view_s, host.module_s) == (3.0, pytest.approx(0.3), 0.25)
    assert (host.factor, host.call_s) == (1.0, 0.0)


def test_a_cost_is_never_a_plausible_zero() -> None:
    host = make_host_model({"a": 1.0, "b": 3.0}, 0.25, set())
    assert (host.launch_s, host.view_s) == (2.0, 2.0)
    assert make_host_model({"a": 1.0}, 0.0, {"a"}).view_s == 1.0


def test_nothing_called_costs_nothing() -> None:
    assert HOST.issue_s(flatten(Node("model", "", "Net"))).tolist() == np.zeros(0).tolist()


def test_dear_and_cheap_ops_tell_the_factor_from_what_each_call_costs() -> None:
    issue_s, calls = [1e-3, 1e-3, 4e-3, 2e-3], [100, 50, 100, 300]
    measured_s = [0.9 * issue + 3e-6 * count for issue, count in zip(issue_s, calls, strict=True)]
    factor, call_s = fit_to_models(issue_s, calls, measured_s, ["a", "b", "c", "d"])
    assert factor == pytest.approx(0.9) and call_s == pytest.approx(3e-6)


def test_a_family_counts_once_and_an_odd_one_hardly_at_all() -> None:
    """Nine models of one family take five times as long as the five other families agree on."""
    issue_s, calls = [*[2e-3] * 9, 1e-3, 2e-3, 3e-3, 4e-3, 5e-3], [*[100] * 9, 100, 400, 100, 300, 200]
    measured_s = [issue + 2e-6 * count for issue, count in zip(issue_s, calls, strict=True)]
    measured_s[:9] = [5 * seconds for seconds in measured_s[:9]]
    factor, call_s = fit_to_models(issue_s, calls, measured_s, [*"aaaaaaaaa", *"bcdef"])
    assert factor == pytest.approx(1.0, rel=0.01) and call_s == pytest.approx(2e-6, rel=0.1)


def test_neither_number_is_below_zero_and_no_model_says_nothing() -> None:
    factor, call_s = fit_to_models([1e-3, 4e-3], [100, 10], [0.5e-3, 4e-3], ["a", "b"])
    assert call_s == 0.0 and 0.5 <= factor <= 1.0
    assert fit_to_models([], [], [], []) == (1.0, 0.0)


def test_twice_and_half_are_as_wrong() -> None:
    """Of two families one takes half of what the other does: the factor lies in the middle of their logarithms.

    With a third in between it is that one's. A mean of relative errors would choose the lowest of all.
    """
    factor, _ = fit_to_models([1e-3] * 3, [100] * 3, [0.5e-3, 1.1e-3, 2e-3], ["a", "b", "c"])
    assert factor == pytest.approx(1.1, rel=0.02)
