"""The machine under measurement, behind one seam: a GPU with its meter here, a fake in tests."""

from __future__ import annotations

import hashlib
import tempfile
import weakref
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, Protocol

import torch

from irene.errors import MeterError
from irene.locks import hold_lock
from irene.measuring import replaying, targets
from irene.measuring.bursts import Burst, find_full_clock_hz, time_burst
from irene.measuring.generations import prepare_generation
from irene.measuring.plan import GenerationCase, ModelCase, PrimitiveCase
from irene.measuring.replaying import Replay
from irene.measuring.targets import BuiltModel, PeakMemory, Target
from irene.meters import Meter, NvmlMeter, ZeusMeter

_RESERVED_BYTES = 30e9


def claim_gpu(uuid: str) -> AbstractContextManager[None]:
    """Hold a GPU of this host. Raises BadInput while another process holds it."""
    name = hashlib.sha256(uuid.encode()).hexdigest()[:16]
    return hold_lock(
        Path(tempfile.gettempdir()) / f"irene-gpu-{name}.lock",
        "Another irene ({holder}) measures on this GPU; each would count the other's joules. Wait for it, or choose "
        "another GPU with CUDA_VISIBLE_DEVICES.",
    )


class Machine(Protocol):
    """What a collection needs from the machine."""

    meter: Meter
    device: torch.device

    def synchronize(self) -> None: ...
    def prepare_primitive(self, case: PrimitiveCase, seed: int, eager: bool = False) -> Replay: ...
    def time_primitive(self, replay: Replay) -> Burst: ...
    def build(self, case: ModelCase | GenerationCase, seed: int) -> BuiltModel: ...
    def prepare_model(self, built: BuiltModel, case: ModelCase | GenerationCase, seed: int) -> Target: ...
    def measure_memory(self, target: Target) -> PeakMemory | None: ...
    def count_kernels(self, target: Target) -> dict[str, int]: ...
    def release(self) -> None: ...
    def describe(self) -> dict[str, Any]: ...


def name_card(uuid: str) -> str:
    """A short name by which a board is known again in another collection, and which does not tell its UUID.

    >>> name_card("GPU-6f1d1c9e-0000-0000-0000-000000000000")
    'b40938274b72'
    """
    return hashlib.sha256(f"irene card {uuid}".encode()).hexdigest()[:12]


def _open_meter(index: int) -> NvmlMeter | ZeusMeter:
    """NVML's; where it knows no GPU, Zeus's. Raises NVML's MeterError if there is neither."""
    try:
        return NvmlMeter(index)
    except MeterError as unknown:
        try:
            return ZeusMeter(index)
        except MeterError:
            raise unknown from None


class GpuMachine:
    """A CUDA device, by default the first, read by NVML, held as long as this object is there.

    Two measurements at once would count each other's joules. Raises MeterError where there is no GPU, and says how to
    go on; BadInput while another process holds it.
    """

    def __init__(self, index: int = 0) -> None:
        meter = _open_meter(index)
        self.meter: Meter = meter
        if not torch.cuda.is_available():
            raise MeterError(
                "torch sees no CUDA device, so there is nothing to measure. Install a CUDA build of torch, or predict "
                "with the shipped predictor: irene predict MODEL."
            )
        self.device = torch.device("cuda", index)
        held = ExitStack()
        held.enter_context(claim_gpu(meter.read_uuid() if isinstance(meter, NvmlMeter) else meter.name))
        weakref.finalize(self, held.close)
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

    def build(self, case: ModelCase | GenerationCase, seed: int) -> BuiltModel:
        targets.set_precision(case.workload.dtype)
        return targets.build(case.model, case.workload.task, case.workload.dtype, self.device, seed)

    def prepare_model(self, built: BuiltModel, case: ModelCase | GenerationCase, seed: int) -> Target:
        targets.set_precision(case.workload.dtype)
        if isinstance(case, GenerationCase):
            return prepare_generation(built, case, self.device, seed)
        return targets.prepare(built, case, self.device, seed)

    def measure_memory(self, target: Target) -> PeakMemory | None:
        """None of a captured call: its graph owns its memory, which the allocator does not count again."""
        if target.tree.workload.execution == "cuda_graph":
            return None
        return targets.measure_peak_memory(target.run, self.device)

    def count_kernels(self, target: Target) -> dict[str, int]:
        return targets.count_kernels(target.run, self.device)

    def release(self) -> None:
        """Give unused memory back to the driver; raises MeterError where a failed capture has broken torch."""
        torch.cuda.empty_cache()
        try:
            torch.empty(1, device=self.device).normal_()
        except RuntimeError:
            raise MeterError(
                "torch can draw no random numbers on the GPU, as after a capture that failed; start the collection "
                "again with the same output, it goes on where it stopped."
            ) from None
        unused_bytes = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        if unused_bytes > _RESERVED_BYTES:
            raise MeterError(
                f"torch keeps {unused_bytes / 1e9:.0f} GB of GPU memory that nothing uses, as after a capture that "
                "failed; start the collection again with the same output, it goes on where it stopped."
            )

    def describe(self) -> dict[str, Any]:
        import transformers

        properties = torch.cuda.get_device_properties(self.device)
        described: dict[str, Any] = {"gpu": self.meter.name}
        if isinstance(self.meter, NvmlMeter):
            described = {**self.meter.describe(), "card": name_card(self.meter.read_uuid())}
        return described | {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "cuda": torch.version.cuda,
            "sm_count": properties.multi_processor_count,
            "l2_bytes": properties.L2_cache_size,
        }
