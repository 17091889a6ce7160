"""A meter of devices that NVML does not know, by Zeus (an extra): AMD's GPUs, Apple's and Jetson's systems on a chip.

Zeus (ml-energy/zeus, Apache-2.0) speaks to amdsmi, to Apple's and to Jetson's sensors. Of a system on a chip it is the
whole module where that is counted, else its GPU.
"""

from __future__ import annotations

import importlib
from typing import Any

from irene.errors import MeterError, NotSupported
from irene.meters.reading import DeviceState
from irene.units import MILLIJOULE_J, MILLIWATT_W

# Older releases write names in camel case.
_ENERGY = ("get_total_energy_consumption", "getTotalEnergyConsumption")
_POWER = ("get_instant_power_usage", "getInstantPowerUsage")
_NAME = ("get_name", "getName")
_OF_A_CHIP = ("total_mj", "gpu_mj")


class ZeusMeter:
    """Energy in J of the GPU `index` that Zeus finds, or of the system on a chip.

    Raises MeterError without the package or without such a device; reading raises NotSupported where it counts nothing.

    >>> meter = ZeusMeter()                                         # doctest: +SKIP
    >>> before_j = meter.read_energy_j()                            # doctest: +SKIP
    """

    def __init__(self, index: int = 0) -> None:
        try:
            device = importlib.import_module("zeus.device")
        except ImportError:
            raise MeterError("Reading this device needs the package zeus: pip install 'irene-energy[zeus]'.") from None
        self._index, self._gpus, self._chip = index, _try(device, "get_gpus"), None
        if self._gpus is None or len(self._gpus) <= index:
            self._gpus = None
            self._chip = _try(importlib.import_module("zeus.device.soc"), "get_soc")
        if self._gpus is None and (self._chip is None or type(self._chip).__name__ == "EmptySoC"):
            raise MeterError(f"Zeus finds neither a GPU with index {index} nor a system on a chip.")
        self._name = self._find_name()

    @property
    def name(self) -> str:
        return self._name

    def read_energy_j(self) -> float:
        """Read the cumulative counter, J."""
        if self._gpus is not None:
            return float(self._ask(self._gpus, _ENERGY, self._index)) * MILLIJOULE_J
        counted = self._ask(self._chip, _ENERGY)
        for field in _OF_A_CHIP:
            if (millijoules := getattr(counted, field, None)) is not None:
                return float(millijoules) * MILLIJOULE_J
        raise NotSupported(f"{self._name} counts none of {', '.join(_OF_A_CHIP)}.")

    def read_power_w(self) -> float:
        """Read the power of now, W."""
        if self._gpus is None:
            raise NotSupported(f"{self._name} offers no power; take the difference of two energies.")
        return float(self._ask(self._gpus, _POWER, self._index)) * MILLIWATT_W

    def read_state(self) -> DeviceState:
        """The power where there is one; Zeus offers nothing else."""
        try:
            return DeviceState(power_w=self.read_power_w())
        except NotSupported:
            return DeviceState()

    def close(self) -> None:
        """Zeus gives devices back at the end of the process."""

    def _find_name(self) -> str:
        if self._gpus is None:
            return type(self._chip).__name__
        try:
            return str(self._ask(self._gpus, _NAME, self._index))
        except NotSupported:
            return f"GPU {self._index} of Zeus"

    def _ask(self, device: Any, names: tuple[str, ...], *arguments: int) -> Any:
        method = next((getattr(device, name) for name in names if hasattr(device, name)), None)
        if method is None:
            raise NotSupported(f"This release of Zeus has no {names[0]} for {type(device).__name__}.")
        try:
            return method(*arguments)
        except Exception as error:  # each of its back ends has errors of its own
            raise NotSupported(f"Zeus cannot read it ({type(error).__name__}: {str(error)[:200]}).") from None


def _try(module: Any, name: str) -> Any:
    """What a function of Zeus finds, None where it finds nothing."""
    try:
        return getattr(module, name)()
    except Exception:  # without a driver each back end raises an error of its own
        return None
