"""Work that a recorder cannot see is refused: in other threads, in generators."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import nn

from irene.errors import BadInput, Untraceable
from irene.tracing import trace


class Pair(nn.Module):
    def __init__(self, run: Callable[[Any, torch.Tensor], Any]) -> None:
        super().__init__()
        self.first, self.second, self.run = nn.Linear(4, 4), nn.Linear(4, 4), run

    def forward(self, x: torch.Tensor) -> Any:
        return self.run(self, x)


def elsewhere(function: Callable[..., Any], *args: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


def writes_elsewhere(m: Any, x: torch.Tensor) -> torch.Tensor:
    thread = threading.Thread(target=lambda: m.first(x))
    thread.start()
    thread.join(60)
    return m.second(x)


async def awaits(m: Any, x: torch.Tensor) -> torch.Tensor:
    return m.first(x)


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda m, x: (part(x) for part in (m.first, m.second)), "returns a generator, whose work is done only"),
        (lambda m, x: {"y": [map(m.first, [x])]}, "returns a map"),
        (awaits, "returns a coroutine"),
        (lambda m, x: lambda: m.first(x), "returns a function"),
        (lambda m, x: sys.exit(3), "SystemExit: 3"),  # and not the host program's end
        (lambda m, x: m.second(elsewhere(m.first, x)), "another thread"),
        (writes_elsewhere, "Module 'first' is called in another thread than the model"),
        (lambda m, x: m.second(elsewhere(torch.matmul, x, x)), "Module 'second' got a tensor that another thread made"),
        (lambda m, x: (m.second(x), elsewhere(torch.matmul, x, x)), "The root module got a tensor"),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # a coroutine that nobody awaits
def test_work_out_of_sight_is_refused(run: Any, words: str) -> None:
    with pytest.raises(Untraceable, match=words):
        trace(Pair(run), torch.zeros(4, 4))
    if run is awaits:
        gc.collect()  # the coroutine ends here, and not in another test


def test_what_has_no_tree_of_dense_calls_is_refused() -> None:
    inner = nn.Linear(4, 4)
    outer = nn.Sequential(inner, nn.ReLU())
    inner.register_module("above", outer)
    with pytest.raises(BadInput, match=r"Module '0\.above' holds itself"):
        trace(outer, torch.zeros(4, 4))
    with pytest.raises(BadInput, match="example_inputs: the layout torch.sparse_coo is not modelled"):
        trace(nn.Linear(4, 4), torch.zeros(4, 4).to_sparse())


def test_generators_inside_are_followed() -> None:
    tree = trace(Pair(lambda m, x: sum(part(x) for part in (m.first, m.second))), torch.zeros(4, 4))
    assert [leaf.path for leaf in tree.root.leaves] == ["first", "", "second", ""]


@pytest.mark.parametrize(
    "make",
    [
        lambda x: x[:, [0, 1, 2, 3]],
        lambda x: torch.tensor([1.0], device=x.device),
        lambda x: torch.as_tensor([1.0], device=x.device),
        lambda x: torch.asarray([1.0], device=x.device),
        lambda x: x.new([1.0]),
        lambda x: x.new(4, 4),
    ],
)
def test_constants_are_not_taken_for_work_elsewhere(make: Any) -> None:
    assert "aten.add.Tensor" in [
        leaf.type for leaf in trace(Pair(lambda m, x: x + make(x)), torch.zeros(4, 4)).root.leaves
    ]
