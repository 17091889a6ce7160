"""The machine under measurement, behind one seam: a GPU with its meter here, a fake in tests."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from irene.errors import MeterError
from irene.measuring import replaying, targets
from irene.measuring.bursts import Burst, find_full_clock_hz, time_burst
from irene.measuring.plan import ModelCase, PrimitiveCase
from irene.measuring.replaying import Replay
from irene.measuring.targets import BuiltModel, Target
from irene.meters import Meter, NvmlMeter

_RESERVED_BYTES = 30e9


class Machine(Protocol):
    """What a collection needs from the machine."""

    meter: Meter
    device: torch.device

    def synchronize(self) -> None: ...
    def prepare_primitive(self, case: PrimitiveCase, seed: int, eager: bool = False) -> Replay: ...
    def time_primitive(self, replay: Replay) -> Burst: ...
    def build(self, case: ModelCase, seed: int) -> BuiltModel: ...
    def prepare_model(self, built: BuiltModel, case: ModelCase, seed: int) -> Target: ...
    def count_kernels(self, target: Target) -> dict[str, int]: ...
    def release(self) -> None: ...
    def describe(self) -> dict[str, Any]: ...


class GpuMachine:
    """CUDA device 0, read by NVML. Raises MeterError where there is none, and says how to go on."""

    def __init__(self) -> None:
        self.meter: Meter = NvmlMeter(0)
        if not torch.cuda.is_available():
            raise MeterError(
                "torch sees no CUDA device, so there is nothing to measure. Install a CUDA build of torch, or predict "
                "with the shipped predictor: irene predict MODEL."
            )
        self.device = torch.device("cuda", 0)
        self._full_clock_hz: float | None = None

    def synchronize(self) -> None:
        torch.cuda.synchronize(self.device)

    def prepare_primitive(self, case: PrimitiveCase, seed: int, eager: bool = False) -> Replay:
        targets.set_precision(case.dtype)
        if torch.cuda.memory_reserved(self.device) > _RESERVED_BYTES:
            self.release()  # each graph keeps its own pool: freed graphs leave memory that no other can use
        if not eager:
            return replaying.capture_replay(case.call, case.weights, self.device, seed, case.load_deviation)
        return replaying.launch_replay(case.call, self.device, seed, case.load_deviation)

    def time_primitive(self, replay: Replay) -> Burst:
        return time_burst(replay.run, replay.calls, self.full_clock_hz, self.device)

    @property
    def full_clock_hz(self) -> float:
        """The clock of a rested card, found when first asked for: idle power is read before anything runs."""
        if self._full_clock_hz is None:
            self._full_clock_hz = find_full_clock_hz(self.device)
        return self._full_clock_hz

    def build(self, case: ModelCase, seed: int) -> BuiltModel:
        targets.set_precision(case.workload.dtype)
        return targets.build(case.model, case.workload.task, case.workload.dtype, self.device, seed)

    def prepare_model(self, built: BuiltModel, case: ModelCase, seed: int) -> Target:
        targets.set_precision(case.workload.dtype)
        return targets.prepare(built, case, self.device, seed)

    def count_kernels(self, target: Target) -> dict[str, int]:
        return targets.count_kernels(target.run, self.device)

    def release(self) -> None:
        """Give unused memory back to the driver; raises MeterError if the allocator no longer can."""
        torch.cuda.empty_cache()
        unused_bytes = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        if unused_bytes > _RESERVED_BYTES:
            raise MeterError(
                f"torch keeps {unused_bytes / 1e9:.0f} GB of GPU memory that nothing uses, as after a capture that "
                "failed; start the collection again with the same output, it goes on where it stopped."
            )

    def describe(self) -> dict[str, Any]:
        import transformers

        properties = torch.cuda.get_device_properties(self.device)
        described: dict[str, Any] = dict(self.meter.describe()) if isinstance(self.meter, NvmlMeter) else {}
        return described | {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "cuda": torch.version.cuda,
            "sm_count": properties.multi_processor_count,
            "l2_bytes": properties.L2_cache_size,
        }
