"""Operators without a rule that torch writes in others are taken apart; marks of the profiler are no kernels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from irene.primitives.kinds import is_known, kind_of
from irene.primitives.work import count_work
from irene.tracing import trace
from tests.tracing.running import Running

A, B = torch.rand(30, 4), torch.rand(4, 30)
SQUARE = torch.rand(8, 8)
COMPOSITES: dict[str, tuple[Callable[..., torch.Tensor], tuple[torch.Tensor, ...]]] = {
    "multi_dot": (lambda a, b: torch.linalg.multi_dot([a, b, a]), (A, B)),
    "matrix_power": (lambda a: torch.linalg.matrix_power(a, 7), (SQUARE,)),
    "power of an inverse": (lambda a: torch.linalg.matrix_power(a, -3), (SQUARE,)),
    "covariance": (torch.cov, (A,)),
    "kron": (torch.kron, (A, B)),
    "vecdot": (torch.linalg.vecdot, (A, A)),
}


@pytest.mark.parametrize("name", COMPOSITES)
def test_composites_are_what_they_are_made_of(name: str) -> None:
    function, args = COMPOSITES[name]
    calls = [leaf.call for leaf in trace(Running(function), args).root.leaves]
    assert all(is_known(call) for call in calls)
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        expected = function(*args)
    assert sum(count_work(call).matmul_flop for call in calls) == counter.get_total_flops()
    assert calls[-1].outputs[0].shape == expected.shape


def test_the_cheaper_order_of_a_chain_is_taken() -> None:
    """(100 x 3)(3 x 100)(100 x 5): the last two first, 6,000 FLOP; the other order takes 160,000."""
    args = (torch.zeros(100, 3), torch.zeros(3, 100), torch.zeros(100, 5))
    tree = trace(Running(lambda a, b, c: torch.linalg.multi_dot([a, b, c])), args)
    assert [count_work(leaf.call).flop for leaf in tree.root.leaves if kind_of(leaf.call) == "gemm"] == [3000, 3000]


def test_least_squares_on_no_device() -> None:
    tree = trace(Running(lambda a, b: torch.linalg.lstsq(a, b).solution), (torch.rand(3, 9, 4), torch.rand(3, 9, 2)))
    assert tree.root.children[-1].call.outputs[0].shape == (3, 4, 2)


def test_marks_are_no_kernels() -> None:
    def marked(x: torch.Tensor) -> torch.Tensor:
        with torch.profiler.record_function("a part"):
            return x.relu()

    kinds = [kind_of(leaf.call) for leaf in trace(Running(marked), torch.zeros(4)).root.leaves]
    assert set(kinds) == {"view", "activation"} and kinds.count("activation") == 1


def test_a_wrapper_around_one_device_adds_no_work() -> None:
    linear, x = nn.Linear(8, 8), torch.zeros(4, 8)
    bare, wrapped = (trace(module, x).root.leaves for module in (linear, nn.DataParallel(linear)))
    launching = [leaf.call for leaf in wrapped if kind_of(leaf.call) != "view"]
    assert launching == [leaf.call for leaf in bare]
