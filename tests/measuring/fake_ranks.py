"""Ranks without a GPU: each a process on a CPU, gloo between them, a simulated meter of 200 W on each."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import torch

from irene.measuring.targets import PeakMemory
from irene.meters import Meter, SimulatedMeter

QUICK: dict[str, Any] = {"warm_up_s": 0.005, "window_s": 0.05, "min_ticks": 3, "reference_bytes": 256}


class FakeRank:
    def __init__(self, rank: int) -> None:
        torch.set_num_threads(1)
        self.meter: Meter = SimulatedMeter(
            lambda t: 200.0, update_period_s=0.004, read_duration_s=0.0002, clock=time.monotonic
        )
        self.device = torch.device("cpu")

    def synchronize(self) -> None:
        pass

    def capture(self, run: Callable[[], object], calls: int) -> Callable[[], object]:
        def replay() -> None:
            for _ in range(calls):
                run()

        return replay

    def measure_memory(self, run: Callable[[], object]) -> PeakMemory | None:
        return PeakMemory(1000, 3000)

    def count_kernels(self, run: Callable[[], object]) -> dict[str, int]:
        return {"kernel": 1}

    def release(self) -> None:
        pass

    def describe(self) -> dict[str, Any]:
        return {"gpu": "none"}


class DyingRank(FakeRank):
    """The second rank is killed when it is to measure memory: after some cases, in the middle of one."""

    def __init__(self, rank: int) -> None:
        super().__init__(rank)
        self.rank = rank

    def measure_memory(self, run: Callable[[], object]) -> PeakMemory | None:
        if self.rank == 1:
            os._exit(9)
        return super().measure_memory(run)
