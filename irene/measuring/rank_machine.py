"""One rank's own machine, behind one seam: a GPU with its meter here, a processor with a simulated one in tests."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Protocol

import torch

from irene.measuring import targets
from irene.measuring.machine import GpuMachine
from irene.measuring.targets import PeakMemory
from irene.meters import Meter

Run = Callable[[], object]
# Multicast in the switch (NVLink SHARP) is off in what is measured: not every machine lets a process use it.
NCCL_SETTINGS = {"NCCL_NVLS_ENABLE": "0"}


class RankMachine(Protocol):
    """What a rank needs from the machine."""

    meter: Meter
    device: torch.device

    def synchronize(self) -> None: ...
    def capture(self, run: Run, calls: int) -> Run: ...
    def measure_memory(self, run: Run) -> PeakMemory | None: ...
    def count_kernels(self, run: Run) -> dict[str, int]: ...
    def release(self) -> None: ...
    def describe(self) -> dict[str, Any]: ...


class GpuRank(GpuMachine):
    """The CUDA device of a rank's number; it is held as long as this object is there."""

    def __init__(self, rank: int) -> None:
        os.environ.update(NCCL_SETTINGS)
        super().__init__(rank)
        torch.cuda.set_device(self.device)

    def capture(self, run: Run, calls: int) -> Run:
        """A replay of `calls` of them in one graph; kernels are those of eager."""
        with torch.inference_mode():
            run()  # ranks meet for the first time before anything is captured
        self.synchronize()
        graph = targets.capture(run, self.device, calls, "thread_local")

        def replay(_keep: object = run) -> None:  # the graph reads its tensors
            graph.replay()

        return replay

    def measure_memory(self, target: Any) -> PeakMemory | None:
        return targets.measure_peak_memory(target, self.device)

    def count_kernels(self, target: Any) -> dict[str, int]:
        return targets.count_kernels(target, self.device)

    def describe(self) -> dict[str, Any]:
        nccl = ".".join(map(str, torch.cuda.nccl.version()))
        return {**super().describe(), "nccl": nccl, "nccl_settings": dict(NCCL_SETTINGS)}


def count_gpus() -> int:
    """CUDA devices that torch sees here."""
    return torch.cuda.device_count()
