"""A machine without a GPU: primitives and models run on the CPU, a simulated meter counts 200 W."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from irene.measuring import targets
from irene.measuring.bursts import Burst
from irene.measuring.generations import prepare_generation
from irene.measuring.plan import GenerationCase, ModelCase, PrimitiveCase
from irene.measuring.replaying import Replay, launch_replay
from irene.measuring.targets import BuiltModel, PeakMemory, Target
from irene.meters import Meter, SimulatedMeter


class FakeMachine:
    """`before` is called with the key of each case that is prepared, and may raise what a case can raise."""

    def __init__(self, before: Callable[[str], object] = lambda key: None) -> None:
        self.meter: Meter = SimulatedMeter(
            lambda t: 200.0, update_period_s=0.004, read_duration_s=0.0002, clock=time.monotonic
        )
        self.device = torch.device("cpu")
        torch.set_num_threads(1)  # where other processes compute, two threads wait for each other for milliseconds
        self.before = before
        self.prepared: list[str] = []
        self.captured_kernels = {"kernel": 1}

    def synchronize(self) -> None:
        pass

    def prepare_primitive(self, case: PrimitiveCase, seed: int, eager: bool = False) -> Replay:
        self._note(case.key)
        return launch_replay(case.call, self.device, seed, case.load_deviation)

    def time_primitive(self, replay: Replay) -> Burst:
        start = time.perf_counter()
        replay.run()
        return Burst(time.perf_counter() - start, 1.0, 1.98e9)

    def build(self, case: ModelCase | GenerationCase, seed: int) -> BuiltModel:
        return targets.build(case.model, case.workload.task, case.workload.dtype, self.device, seed)

    def prepare_model(self, built: BuiltModel, case: ModelCase | GenerationCase, seed: int) -> Target:
        self._note(case.key)
        as_run = targets.with_execution(case, "eager")
        if isinstance(as_run, GenerationCase):
            target = prepare_generation(built, as_run, self.device, seed)
        else:
            target = targets.prepare(built, as_run, self.device, seed)
        return replace(target, tree=target.tree.with_workload(execution=case.workload.execution))

    def measure_memory(self, target: Target) -> PeakMemory | None:
        return None if target.tree.workload.execution == "cuda_graph" else PeakMemory(1000, 3000)

    def count_kernels(self, target: Target) -> dict[str, int]:
        return self.captured_kernels if target.tree.workload.execution == "cuda_graph" else {"kernel": 1}

    def release(self) -> None:
        pass

    def describe(self) -> dict[str, Any]:
        return {"gpu": "none"}

    def _note(self, key: str) -> None:
        self.before(key)
        self.prepared.append(key)
