"""A card that is not there: every case takes the time and draws the power that a law says, as a simulated meter counts.

With it a collection, a calibration or a plan is rehearsed on any machine. Nothing is computed, time passes.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from irene.errors import BadInput
from irene.measuring.bursts import Burst
from irene.measuring.collection import HowToMeasure
from irene.measuring.plan import GenerationCase, ModelCase, PrimitiveCase
from irene.measuring.replaying import Replay
from irene.measuring.targets import BuiltModel, PeakMemory, Target
from irene.measuring.window import measure_window
from irene.meters import Meter, SimulatedMeter
from irene.model_tree.tree import ModelTree
from irene.tracing.sources import load_config
from irene.tracing.tracer import trace_config

Law: TypeAlias = "Callable[[PrimitiveCase | ModelTree], Cost]"

_REPLAY_S = 2e-3  # as long as a replay, so that a clock of milliseconds can tell it
_PERIOD_S = 0.004
REHEARSAL = HowToMeasure(
    with_references=False,
    window=functools.partial(measure_window, warm_up_s=0.01, window_s=0.1, min_ticks=10),
)
"""Windows of a tenth of a second, for a counter that is updated every four milliseconds."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Seconds of a burst, seconds in a loop, and watts in it."""

    burst_s: float
    duration_s: float
    power_w: float


class SimulatedMachine:
    """What `collect` asks of a machine, by a law; idle it draws `idle_w`."""

    def __init__(self, law: Law, idle_w: float, name: str = "simulated") -> None:
        self._law, self._power_w, self._name = law, idle_w, name
        self._due_s = 0.0
        self.device = torch.device("cpu")
        self.meter: Meter = SimulatedMeter(
            lambda t: self._power_w, update_period_s=_PERIOD_S, read_duration_s=0.0002, name=name
        )

    def synchronize(self) -> None:
        """All is done already."""

    def prepare_primitive(self, case: PrimitiveCase, seed: int, eager: bool = False) -> Replay:
        cost = self._law(case)
        self._last = cost
        calls = max(1, round(_REPLAY_S / cost.duration_s))
        return Replay(lambda: self._take(calls * cost.duration_s, cost.power_w), calls)

    def time_primitive(self, replay: Replay) -> Burst:
        return Burst(self._last.burst_s, 0.0, 1.0e9)

    def build(self, case: ModelCase | GenerationCase, seed: int) -> BuiltModel:
        return BuiltModel(case.model, case.workload.dtype, torch.nn.Identity(), load_config(case.model))

    def prepare_model(self, built: BuiltModel, case: ModelCase | GenerationCase, seed: int) -> Target:
        if isinstance(case, GenerationCase) or case.path:
            raise BadInput(f"{case.key}: a simulated card runs whole forward passes alone.")
        tree = trace_config(built.config, case.workload, built.name)
        cost = self._law(tree)
        return Target(lambda: self._take(cost.duration_s, cost.power_w), tree, tree.root.type)

    def measure_memory(self, target: Target) -> PeakMemory | None:
        return None

    def count_kernels(self, target: Target) -> dict[str, int]:
        return {}

    def release(self) -> None:
        """There is nothing to give back."""

    def describe(self) -> dict[str, Any]:
        return {"gpu": self._name, "card": "simulated"}

    def _take(self, seconds: float, power_w: float) -> None:
        """Let time pass; what one call oversleeps the next ones make up for, so that the mean is exact."""
        self._power_w = power_w
        now_s = time.monotonic()
        self._due_s = max(self._due_s, now_s - 0.05) + seconds
        if self._due_s > now_s:
            time.sleep(self._due_s - now_s)
