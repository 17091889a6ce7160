"""What follows from few traces is what tracing every point says, whatever a model makes depend on batch and length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from irene.model_tree.workload import Workload
from irene.primitives.patterns import builder_of
from irene.tracing import following, retracing
from irene.tracing.batch_laws import Law, is_same, trace_at
from irene.tracing.following import Search
from irene.tracing.grid import trace_grid
from irene.tracing.length_laws import find_length_law
from irene.tracing.short_traces import Outline, ShortTrace
from tests.tracing.equal_layers import Stack
from tests.tracing.tiny_models import tiny_config

BATCHES, LENGTHS = [1, 2, 3, 5, 8, 12, 16, 24], [1, 7, 8, 20, 31, 64]
Numbers = Callable[[int, int], tuple[int, ...]]


class MadeModel:
    """Stands in for a Retracer: one call whose numbers and outline are functions of batch and length."""

    def __init__(self, numbers: Numbers, outline: Callable[[int, int], int] = lambda b, n: 0) -> None:
        self.numbers, self.outline, self.asked = numbers, outline, 0
        self.outlines = [Outline(None, None, ())] * 9  # type: ignore[arg-type]

    def trace(self, workload: Workload) -> ShortTrace:
        self.asked += 1
        b, n = workload.batch_size, workload.seq_len or 0
        return ShortTrace(self.outline(b, n), (0,), (self.numbers(b, n),), (0,))

    def launches_of(self, trace: ShortTrace) -> tuple[bool, ...]:
        return ()

    def agree_with(self, law: Law, sizes: Sequence[int]) -> list[bool]:
        return [True] * len(sizes)


def search_of(model: MadeModel, batches: Sequence[int] = BATCHES, lengths: Sequence[int] = LENGTHS) -> Search:
    return Search(model, list(batches), [Workload(batch_size=1, seq_len=length) for length in lengths])  # type: ignore[arg-type]


LAWS: dict[str, tuple[Numbers, Callable[[int, int], int]]] = {
    "products": (lambda b, n: (b, n, b * n * 64, n * n, b * b, 7), lambda b, n: 0),
    "padding of lengths": (lambda b, n: (b * (-(-n // 16) * 16),), lambda b, n: 0),
    "padding to eights": (lambda b, n: (b * (-(-n // 8) * 8),), lambda b, n: 0),  # 8 and 64 stay, 20 and 31 do not
    "a window on batch 1": (lambda b, n: (b * (min(n, 20) if b == 1 else n),), lambda b, n: 0),
    "another path for batch 1": (lambda b, n: (b * n, 3 if b == 1 else 5), lambda b, n: int(b == 1)),
    "a window on lengths": (lambda b, n: (b * min(n, 20),), lambda b, n: int(n > 20)),
    "padding of batches": (lambda b, n: (-(-b // 8) * 8 * n,), lambda b, n: 0),
    "sums": (lambda b, n: (b + n, b * n + 3), lambda b, n: 0),
    "some batches": (lambda b, n: (b,), lambda b, n: int(b % 8 == 0)),
    "fewer tokens than experts": (lambda b, n: (min(b * n, 64),), lambda b, n: int(b * n < 64)),
    "a limit on both": (lambda b, n: (b, n), lambda b, n: (b * n > 100) + (b * n > 500)),
}


@pytest.mark.parametrize("law", LAWS)
def test_what_follows_is_what_a_trace_says(law: str) -> None:
    model = MadeModel(*LAWS[law])
    found = search_of(model).follow_all()
    assert len(found) == len(BATCHES) * len(LENGTHS)
    for (batch, column), trace in found.items():
        assert is_same(trace_at(trace), model.trace(Workload(batch_size=batch, seq_len=LENGTHS[column]))), (
            law,
            batch,
            LENGTHS[column],
        )


def test_few_points_are_traced() -> None:
    model = MadeModel(*LAWS["products"])
    search = search_of(model)
    search.follow_all()
    assert model.asked == len(search.known) == len(LENGTHS) + 2 * (len(BATCHES) - 1)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(
    ("batches", "lengths"), [(range(1, 41), range(1, 121)), ([1], range(2, 200, 3)), ([6], range(8, 520, 8))]
)
def test_what_follows_over_many_sizes_is_what_a_trace_says(law: str, batches: range, lengths: range) -> None:
    """Most of them are not traced; every law that does not hold for all of them shows at a probe."""
    model = MadeModel(*LAWS[law])
    for (batch, column), trace in search_of(model, batches, lengths).follow_all().items():
        expected = model.trace(Workload(batch_size=batch, seq_len=lengths[column]))
        assert is_same(trace_at(trace), expected), (batch, lengths[column])


def test_of_many_sizes_few_are_traced() -> None:
    model = MadeModel(lambda b, n: (b, n, b * n * 64, n * n), lambda b, n: int(b == 1))
    assert len(search_of(model, range(1, 80), range(8, 520, 8)).follow_all()) == 5056
    assert model.asked < 50
    longer = MadeModel(lambda b, n: (b * n, b * (n * (n + 1) // 2 + 3)))
    assert len(search_of(longer, [4], range(1, 1000)).follow_all()) == 999
    assert longer.asked < 25


def test_a_law_of_length_has_to_hold_at_every_probe() -> None:
    def traces(number: Callable[[int], int]) -> list[ShortTrace]:
        return [ShortTrace(0, (0, 0), ((n, 5), (number(n), 5)), (0, 1, 0)) for n in lengths]

    lengths = [3, 5, 6, 7, 12]
    halves = find_length_law(lengths, traces(lambda n: n * (n - 1) // 2))
    assert halves is not None and (found := halves.at(8)) is not None and found.numbers == ((8, 5), (28, 5))
    alike = find_length_law(lengths, traces(lambda n: 2 * n - 20 if n > 11 else 2 * n))
    assert alike is None
    falling = find_length_law(lengths, traces(lambda n: 13 - n))
    assert falling is not None and falling.at(20) is None
    assert find_length_law(lengths[:3], traces(lambda n: n)[:3]) is None, "nothing would be left to confirm it"


@pytest.mark.parametrize("architecture", ["bert", "mistral", "mixtral", "t5", "vit", "gemma2"])
def test_a_grid_holds_the_calls_of_every_point(architecture: str) -> None:
    """Lengths on both sides of the window, tokens on both sides of the number of experts."""
    config = tiny_config(architecture, **({} if architecture == "t5" else {"num_hidden_layers": 4}))
    asked = [Workload(batch_size=b, seq_len=n) for b in (1, 2, 5, 7) for n in (1, 3, 31, 33)]
    grid, plain = trace_grid(config, asked), retracing.Retracer(config, asked[0])
    for workload, trace in zip(grid.workloads, grid.traces, strict=True):
        calls = [builder_of(grid.patterns[p])(n) for p, n in zip(trace.patterns, trace.numbers, strict=True)]
        places = grid.outlines[trace.outline].place_of_leaf
        leaves = plain._record(workload, None).leaves
        assert [calls[trace.call_of_place[place]] for place in places] == [leaf.call for leaf in leaves], workload


def test_a_point_that_did_not_follow_has_all_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if there were a condition without order, at one length inside: points drawn at random show it."""

    def wrong(*args: Any) -> Any:
        law = between(*args)
        if law is None or not any(6 in factors for factors in law.factors):
            return law
        return replace(law, factors=tuple((*f[:-1], f[-1] + 1) if f else f for f in law.factors))

    between = following.law_between
    asked = [Workload(batch_size=b, seq_len=n) for b in (2, 3, 4, 5, 6) for n in (5, 6, 7)]
    right = trace_grid(tiny_config("bert"), asked)
    assert right.checked and right.traced < len(asked)
    monkeypatch.setattr(following, "law_between", wrong)
    grid = trace_grid(tiny_config("bert"), asked)
    assert grid.traced == len(asked)
    assert [trace.numbers for trace in grid.traces] == [trace.numbers for trace in right.traces]


def test_equal_layers_that_differ_are_all_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        module = Stack(special=3)
    for place in (retracing, "irene.tracing.tracer"):
        name = place if isinstance(place, str) else place.__name__
        monkeypatch.setattr(f"{name}.build_model", lambda *_: module)
    asked = [Workload(batch_size=b, seq_len=n, dtype="float32") for b in (2, 3, 4) for n in (3, 9)]
    grid = trace_grid(module.config, asked)
    leaves = {
        w.seq_len: len(grid.outlines[t.outline].flat.leaf_index)
        for w, t in zip(grid.workloads, grid.traces, strict=True)
    }
    assert leaves == {3: 7, 9: 8}


class Changing(Stack):
    """Once it has seen a long input it does something else, and so does its config say."""

    def forward(self, input_ids: torch.Tensor) -> torch.Tensor:
        if input_ids.shape[1] > 4:
            self.extra, self.config.was_long = torch.nn.ReLU(), True
        x = super().forward(input_ids)
        return self.extra(x) if getattr(self.config, "was_long", False) else x


def test_a_model_that_changes_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.device("meta"):
        module = Changing(special=-1)
    monkeypatch.setattr(retracing, "build_model", lambda *_: module)
    retracer = retracing.Retracer(module.config, Workload(dtype="float32"))
    calls = [
        len(retracer.calls_of(retracer.trace(Workload(batch_size=1, seq_len=n, dtype="float32")))) for n in (3, 9, 3)
    ]
    assert calls == [7, 8, 7]
