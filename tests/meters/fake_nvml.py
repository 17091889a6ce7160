"""The few functions of pynvml that the meter calls, of a GPU that is none."""

from __future__ import annotations

from types import ModuleType, SimpleNamespace


class FakeNvmlError(Exception):
    def __init__(self, value):
        super().__init__(f"error {value}")
        self.value = value


def make_nvml(**overrides):
    """The few functions of pynvml that the meter calls, of a GPU that offers everything but the newer names."""
    nvml = ModuleType("pynvml")
    names = {
        "NVMLError": FakeNvmlError,
        "NVML_ERROR_NOT_SUPPORTED": 3,
        "NVML_ERROR_NO_PERMISSION": 4,
        "NVML_ERROR_FUNCTION_NOT_FOUND": 13,
        "NVML_CLOCK_SM": 1,
        "NVML_CLOCK_MEM": 2,
        "NVML_TEMPERATURE_GPU": 0,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetHandleByIndex": lambda i: f"gpu{i}",
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetUUID": lambda h: f"GPU-{h}-uuid",
        "nvmlDeviceGetName": lambda h: b"NVIDIA H200",
        "nvmlDeviceGetTotalEnergyConsumption": lambda h: 123_456,
        "nvmlDeviceGetPowerUsage": lambda h: 119_500,
        "nvmlDeviceGetUtilizationRates": lambda h: SimpleNamespace(gpu=98, memory=40),
        "nvmlDeviceGetClockInfo": lambda h, which: {1: 1980, 2: 3201}[which],
        "nvmlDeviceGetTemperature": lambda h, which: 41,
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda h: 4,
        "nvmlDeviceGetMemoryInfo": lambda h: SimpleNamespace(used=2**30, total=2**37),
        "nvmlDeviceGetEnforcedPowerLimit": lambda h: 700_000,
        "nvmlSystemGetDriverVersion": lambda: "580.159",
        "nvmlSystemGetNVMLVersion": lambda: "13.580.159",
        **overrides,
    }
    vars(nvml).update(names)
    return nvml


def raise_code(code):
    def fail(*_):
        raise FakeNvmlError(code)

    return fail
