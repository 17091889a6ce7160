"""The meter of NVIDIA GPUs: NVML's total-energy counter and its runtime features."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from irene.errors import MeterError, MeterLost, NotSupported
from irene.meters.reading import DeviceState
from irene.units import MEGAHERTZ_HZ, MILLIJOULE_J, MILLIWATT_W

_SUPERCHIPS = {"GH200", "GB200", "GB300"}
_ELSEWHERE = "'irene collect' measures on a machine with one; elsewhere use the shipped predictor ('irene predict')"


class NvmlMeter:
    """Board energy of one NVIDIA GPU, in J.

    `index` counts as CUDA does: NVML itself ignores CUDA_VISIBLE_DEVICES, so it is applied here (by position or UUID;
    CUDA_DEVICE_ORDER=PCI_BUS_ID makes the two orders equal on hosts with different GPUs). On the machines seen, one
    read takes 3 to 4 ms and a state about 20 ms, so neither belongs between two calls that are being measured.

    Raises MeterError without a driver, a GPU or the package nvidia-ml-py; the message says what to do next.

    >>> meter = NvmlMeter()                                         # doctest: +SKIP
    >>> before_j = meter.read_energy_j()                            # doctest: +SKIP
    """

    def __init__(self, index: int = 0) -> None:
        try:
            # Imported here and nowhere else: predicting must work on machines without a driver.
            self._nvml: Any = importlib.import_module("pynvml")
        except ImportError:
            raise MeterError(
                "Reading an NVIDIA GPU needs the package nvidia-ml-py: 'pip install nvidia-ml-py' on a machine with a "
                "GPU; elsewhere use the shipped predictor ('irene predict')."
            ) from None
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            raise MeterError(f"No NVIDIA driver ({error}): {_ELSEWHERE}.") from None
        try:
            self._handle: Any = self._open(index)
            self._name = _to_text(self._nvml.nvmlDeviceGetName(self._handle))
            self._is_sliced = self._has_slices()
        except self._nvml.NVMLError as error:
            self._shut_down()
            raise MeterError(f"No NVIDIA GPU with index {index} ({error}): {_ELSEWHERE}.") from None
        except MeterError:
            self._shut_down()
            raise
        self._is_open = True

    @property
    def name(self) -> str:
        return self._name

    @property
    def note(self) -> str:
        """What a reader of the joules must know, beside the number; '' for a board of its own.

        On Grace Hopper and Grace Blackwell the counter is that of the module, processor included
        (https://github.com/ml-energy/zeus/pull/172).
        """
        words = set(re.split(r"[^A-Z0-9]+", self._name.upper()))
        return "counter of the whole module, Grace processor included" if words & _SUPERCHIPS else ""

    def read_energy_j(self) -> float:
        """Read the total-energy counter, J since the driver was loaded; new values come about every 100 ms.

        Raises NotSupported where the GPU has no counter (before Volta), and where MIG cuts it into slices: the counter
        is that of the board, other tenants included. Raises MeterLost where the reading fails.
        """
        self._refuse_slices("energy")
        try:
            return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)) * MILLIJOULE_J
        except self._nvml.NVMLError as error:
            if self._is_missing(error):
                raise NotSupported(
                    f"{self._name} has no energy counter ({error}); NVML offers one from Volta on, for whole GPUs only."
                ) from None
            raise MeterLost(f"Reading the energy counter of {self._name} failed: {error}.") from None

    def read_power_w(self) -> float:
        """Read the power, W: an average over about one second. Raises NotSupported where there is none, or by MIG."""
        self._refuse_slices("power")
        power_mw = self._read("nvmlDeviceGetPowerUsage")
        if power_mw is None:
            raise NotSupported(f"{self._name} does not offer its power.")
        return float(power_mw) * MILLIWATT_W

    def read_state(self) -> DeviceState:
        """Read all runtime features; None for each that this GPU does not offer."""
        nvml = self._nvml
        use = self._read("nvmlDeviceGetUtilizationRates")
        sm_mhz = self._read("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_SM)
        memory_mhz = self._read("nvmlDeviceGetClockInfo", nvml.NVML_CLOCK_MEM)
        temperature_c = self._read("nvmlDeviceGetTemperature", nvml.NVML_TEMPERATURE_GPU)
        # Renamed in driver 535; drivers and bindings before know only the second name.
        reasons = self._read("nvmlDeviceGetCurrentClocksEventReasons")
        if reasons is None:
            reasons = self._read("nvmlDeviceGetCurrentClocksThrottleReasons")
        memory = self._read("nvmlDeviceGetMemoryInfo")
        power_mw = self._read("nvmlDeviceGetPowerUsage")
        return DeviceState(
            gpu_utilization_pct=None if use is None else float(use.gpu),
            memory_utilization_pct=None if use is None else float(use.memory),
            sm_clock_hz=None if sm_mhz is None else sm_mhz * MEGAHERTZ_HZ,
            memory_clock_hz=None if memory_mhz is None else memory_mhz * MEGAHERTZ_HZ,
            temperature_c=None if temperature_c is None else float(temperature_c),
            throttle_reasons=None if reasons is None else int(reasons),
            memory_used_bytes=None if memory is None else int(memory.used),
            power_w=None if power_mw is None or self._is_sliced else power_mw * MILLIWATT_W,
        )

    def describe(self) -> dict[str, str | float | int | None]:
        """Say what is metered: name, versions, power limit in W, memory in bytes; nothing that names one board.

        None for what cannot be read: one lost reading hides no other.
        """
        limit_mw = self._try("nvmlDeviceGetEnforcedPowerLimit", self._handle)
        memory = self._try("nvmlDeviceGetMemoryInfo", self._handle)
        driver, nvml = self._try("nvmlSystemGetDriverVersion"), self._try("nvmlSystemGetNVMLVersion")
        return {
            "gpu": self._name,
            "driver_version": None if driver is None else _to_text(driver),
            "nvml_version": None if nvml is None else _to_text(nvml),
            "power_limit_w": None if limit_mw is None else limit_mw * MILLIWATT_W,
            "memory_total_bytes": None if memory is None else int(memory.total),
        }

    def read_uuid(self) -> str:
        """Read the board's UUID: to know it again on this host; it is not for publishing."""
        return _to_text(self._nvml.nvmlDeviceGetUUID(self._handle))

    def close(self) -> None:
        """Shut NVML down; a second call does nothing."""
        if self._is_open:
            self._is_open = False
            self._shut_down()

    def _shut_down(self) -> None:
        with suppress(self._nvml.NVMLError):  # of a GPU that is lost, say: what was read counts
            self._nvml.nvmlShutdown()

    def _open(self, index: int) -> Any:
        device = find_visible_device(index, os.environ)
        if isinstance(device, int):
            return self._nvml.nvmlDeviceGetHandleByIndex(device)
        if device.startswith("MIG-"):
            raise NotSupported(
                f"Device {index} is a MIG slice, which has no energy counter of its own; use a whole GPU."
            )
        for position in range(self._nvml.nvmlDeviceGetCount()):  # CUDA accepts any unique beginning of a UUID
            handle = self._nvml.nvmlDeviceGetHandleByIndex(position)
            if _to_text(self._nvml.nvmlDeviceGetUUID(handle)).startswith(device):
                return handle
        raise MeterError(
            f"CUDA_VISIBLE_DEVICES names {device!r}, which NVML does not list; 'nvidia-smi -L' lists them."
        )

    def _has_slices(self) -> bool:
        modes = self._read("nvmlDeviceGetMigMode")  # (now, after the next reset)
        return modes is not None and modes[0] == getattr(self._nvml, "NVML_DEVICE_MIG_ENABLE", 1)

    def _refuse_slices(self, what: str) -> None:
        if self._is_sliced:
            raise NotSupported(
                f"{self._name} is in MIG mode: its {what} is that of the whole board, other tenants included. Measure "
                "where MIG is off."
            )

    def _try(self, function: str, *arguments: Any) -> Any:
        """A reading about which nothing depends: None where it fails."""
        read: Callable[..., Any] | None = getattr(self._nvml, function, None)
        try:
            return None if read is None else read(*arguments)
        except self._nvml.NVMLError:
            return None

    def _read(self, function: str, *arguments: Any) -> Any:
        """A reading of this GPU: None where it is not offered."""
        read: Callable[..., Any] | None = getattr(self._nvml, function, None)
        if read is None:
            return None
        try:
            return read(self._handle, *arguments)
        except self._nvml.NVMLError as error:
            if self._is_missing(error):
                return None
            raise MeterLost(f"{function} failed on {self._name}: {error}.") from None

    def _is_missing(self, error: Exception) -> bool:
        nvml = self._nvml
        missing = (nvml.NVML_ERROR_NOT_SUPPORTED, nvml.NVML_ERROR_FUNCTION_NOT_FOUND, nvml.NVML_ERROR_NO_PERMISSION)
        return getattr(error, "value", None) in missing


def find_visible_device(index: int, environment: Mapping[str, str]) -> int | str:
    """Which GPU CUDA's device `index` is: its position on the host, or a UUID (or its beginning).

    Raises MeterError where CUDA_VISIBLE_DEVICES hides it.

    >>> find_visible_device(0, {}), find_visible_device(1, {"CUDA_VISIBLE_DEVICES": "3,5"})
    (0, 5)
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if index < 0:
        raise MeterError(f"A GPU index is 0 or more, got {index}.")
    if visible is None:
        return index
    names = [name.strip() for name in visible.split(",") if name.strip()]
    if index >= len(names) or names[index] == "-1":
        raise MeterError(f"No GPU {index} is visible: CUDA_VISIBLE_DEVICES={visible!r}; {_ELSEWHERE}.")
    return int(names[index]) if names[index].isdecimal() else names[index]


def _to_text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value  # bindings before 11.5 gave bytes
