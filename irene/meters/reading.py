"""What every meter offers: a cumulative energy counter in J, and the state of the device beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class DeviceState:
    """The runtime features of one moment; `None` where the device does not offer the reading, never zero.

    `throttle_reasons` is NVML's bit mask; `power_w` is NVML's average over about one second, not an instant.

    >>> DeviceState(temperature_c=41.0).power_w is None
    True
    """

    gpu_utilization_pct: float | None = None
    memory_utilization_pct: float | None = None
    sm_clock_hz: float | None = None
    memory_clock_hz: float | None = None
    temperature_c: float | None = None
    throttle_reasons: int | None = None
    memory_used_bytes: int | None = None
    power_w: float | None = None


@runtime_checkable
class Meter(Protocol):
    """A device that counts joules; shipped: NvmlMeter, RaplMeter, ReplayedMeter, SimulatedMeter."""

    @property
    def name(self) -> str:
        """What is metered, for people and for rows."""
        ...

    def read_energy_j(self) -> float:
        """Read the cumulative counter, J since an arbitrary start; raises NotSupported where there is none."""
        ...

    def read_power_w(self) -> float:
        """Read the power, W, averaged as the device does it; raises NotSupported where there is none."""
        ...

    def read_state(self) -> DeviceState:
        """Read all runtime features; what the device does not offer is None."""
        ...

    def close(self) -> None:
        """Give the device back; reading afterwards is an error of the caller."""
        ...
