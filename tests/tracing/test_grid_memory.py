"""A sweep keeps no point's calls: what a point takes is what is answered of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

import irene
from irene.model_tree.workload import Workload
from irene.predictor import sweeping
from irene.predictor.predictor import Predictor
from irene.tracing.batch_laws import ByLaw
from irene.tracing.grid import trace_grid
from tests.tracing.tiny_models import tiny_config


def _workloads(batches: int) -> list[Workload]:
    return [Workload(batch_size=batch, seq_len=8) for batch in range(1, batches + 1)]


def _peak_bytes(work: Callable[[], Any]) -> int:
    work()  # what it keeps for later calls is there
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_points_between_traced_ones_are_held_as_laws() -> None:
    grid = trace_grid(tiny_config("bert"), _workloads(60))
    held = grid.traces.held  # type: ignore[attr-defined]
    assert sum(isinstance(point, ByLaw) for point in held) >= 50
    assert len(grid.traces) == len(grid.traces[:]) == 60
    assert grid.traces[7].numbers == grid.traces[7:8][0].numbers != grid.traces[8].numbers


def test_memory_does_not_grow_with_the_points(shipped: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeping, "_POINTS_AT_ONCE", 20)
    config = tiny_config("bert")

    def peak_bytes(batches: int) -> int:
        return _peak_bytes(
            lambda: irene.sweep(config, batch_sizes=range(1, batches + 1), seq_lens=[8], predictor=shipped)
        )

    few, many = peak_bytes(40), peak_bytes(140)
    assert (many - few) / 100 < 4000  # bytes a point; its calls take 20,000
