"""A machine without a GPU: primitives and models run on the CPU, a simulated meter counts 200 W."""

from __future__ import annotations

import time
from typing import Any

import torch

from irene.measuring import targets
from irene.measuring.plan import ModelCase, PrimitiveCase
from irene.measuring.replaying import Replay, launch_replay
from irene.measuring.targets import BuiltModel, Target
from irene.meters import SimulatedMeter


class FakeMachine:
    def __init__(self) -> None:
        self.meter = SimulatedMeter(lambda t: 200.0, update_period_s=0.02, clock=time.monotonic)
        self.device = torch.device("cpu")
        self.prepared: list[str] = []

    def synchronize(self) -> None:
        pass

    def prepare_primitive(self, case: PrimitiveCase, seed: int, eager: bool = False) -> Replay:
        self.prepared.append(case.key)
        return launch_replay(case.call, self.device, seed)

    def time_primitive(self, replay: Replay) -> tuple[float, float]:
        start = time.perf_counter()
        replay.run()
        return time.perf_counter() - start, 1.0

    def build(self, case: ModelCase, seed: int) -> BuiltModel:
        return targets.build(case.model, case.workload.task, case.workload.dtype, self.device, seed)

    def prepare_model(self, built: BuiltModel, case: ModelCase, seed: int) -> Target:
        self.prepared.append(case.key)
        return targets.prepare(built, targets.with_execution(case, "eager"), self.device, seed)

    def count_kernels(self, target: Target) -> dict[str, int]:
        return {"kernel": 1}

    def release(self) -> None:
        pass

    def describe(self) -> dict[str, Any]:
        return {"gpu": "none"}
