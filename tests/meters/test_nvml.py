"""NVML against a fake of its door: SI units, what is not offered, and what to do where there is no GPU."""

from __future__ import annotations

import sys

import pytest

from irene.errors import MeterError, NotSupported
from irene.meters import DeviceState, NvmlMeter
from irene.meters.nvml import find_visible_device
from tests.meters.fake_nvml import raise_code


def test_nvml_converts_to_si(use_nvml):
    use_nvml()
    meter = NvmlMeter()
    assert meter.name == "NVIDIA H200"
    assert meter.read_energy_j() == pytest.approx(123.456) and meter.read_power_w() == pytest.approx(119.5)
    assert meter.read_state() == DeviceState(98.0, 40.0, 1.98e9, 3.201e9, 41.0, 4, 2**30, 119.5)
    described = meter.describe()
    assert described["power_limit_w"] == 700.0 and described["memory_total_bytes"] == 2**37
    assert described["driver_version"] == "580.159" and not any("uuid" in str(v).lower() for v in described.values())


def test_nvml_newer_name_of_the_reasons_is_preferred(use_nvml):
    use_nvml(nvmlDeviceGetCurrentClocksEventReasons=lambda h: 8)
    assert NvmlMeter().read_state().throttle_reasons == 8


def test_nvml_not_supported_is_none_in_a_state_and_an_error_as_energy(use_nvml):
    refuse = raise_code(3)
    use_nvml(
        nvmlDeviceGetTotalEnergyConsumption=refuse,
        nvmlDeviceGetPowerUsage=refuse,
        nvmlDeviceGetUtilizationRates=refuse,
        nvmlDeviceGetClockInfo=refuse,
        nvmlDeviceGetTemperature=refuse,
        nvmlDeviceGetCurrentClocksThrottleReasons=refuse,
        nvmlDeviceGetMemoryInfo=refuse,
    )
    meter = NvmlMeter()
    assert meter.read_state() == DeviceState()
    for read in (meter.read_energy_j, meter.read_power_w):
        with pytest.raises(NotSupported):
            read()


def test_nvml_other_failures_are_errors_and_not_none(use_nvml):
    use_nvml(nvmlDeviceGetClockInfo=raise_code(15), nvmlDeviceGetTotalEnergyConsumption=raise_code(15))
    meter = NvmlMeter()
    with pytest.raises(MeterError, match="nvmlDeviceGetClockInfo failed"):
        meter.read_state()
    with pytest.raises(MeterError, match="energy counter"):
        meter.read_energy_j()


def test_nvml_slices_have_no_energy_of_their_own(use_nvml):
    use_nvml(nvmlDeviceGetMigMode=lambda h: (1, 1))
    meter = NvmlMeter()
    for read in (meter.read_energy_j, meter.read_power_w):
        with pytest.raises(NotSupported, match="MIG mode.*other tenants"):
            read()
    assert meter.read_state().power_w is None and meter.read_state().temperature_c == 41.0
    for mode in ((0, 1), (0, 0)):  # on after the next reset only
        use_nvml(nvmlDeviceGetMigMode=lambda h, mode=mode: mode)
        assert NvmlMeter().read_energy_j() == 123.456
    use_nvml(nvmlDeviceGetMigMode=raise_code(3))
    assert NvmlMeter().read_energy_j() == 123.456


def test_nvml_superchips_count_the_processor_too(use_nvml):
    for name, noted in (
        ("NVIDIA GH200 480GB", True),
        (b"NVIDIA GB200", True),
        ("NVIDIA H200", False),
        ("GH2000", False),
    ):
        use_nvml(nvmlDeviceGetName=lambda h, name=name: name)
        assert ("whole module" in NvmlMeter().note) == noted


def test_one_lost_reading_hides_no_other(use_nvml):
    lost = {"nvmlSystemGetDriverVersion": raise_code(999), "nvmlDeviceGetMemoryInfo": raise_code(15)}
    use_nvml(**lost, nvmlShutdown=raise_code(15), nvmlDeviceGetName=lambda handle: b"NVIDIA H200\xff")
    meter = NvmlMeter()
    described = meter.describe()
    meter.close()
    assert described["driver_version"] is None and described["memory_total_bytes"] is None
    assert described["gpu"] == "NVIDIA H200\ufffd" and described["power_limit_w"] == 700.0


def test_nvml_says_what_to_do_without_driver_gpu_or_package(use_nvml, monkeypatch):
    use_nvml(nvmlInit=raise_code(12))
    with pytest.raises(MeterError, match=r"No NVIDIA driver .*'irene predict'"):
        NvmlMeter()
    closed = []
    use_nvml(nvmlDeviceGetHandleByIndex=raise_code(2), nvmlShutdown=lambda: closed.append(1))
    with pytest.raises(MeterError, match=r"No NVIDIA GPU with index 9 .*'irene predict'"):
        NvmlMeter(9)
    assert closed
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(MeterError, match="nvidia-ml-py"):
        NvmlMeter()


def test_nvml_index_counts_as_cuda_does(use_nvml, monkeypatch):
    use_nvml(nvmlDeviceGetName=lambda handle: handle)
    for visible, name in (("1,0", "gpu1"), ("GPU-gpu1", "gpu1"), ("0", "gpu0")):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert NvmlMeter().name == name
    for visible in ("", "-1", "GPU-none", "MIG-x"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        with pytest.raises(MeterError):
            NvmlMeter()
    assert find_visible_device(1, {"CUDA_VISIBLE_DEVICES": "3, GPU-ab"}) == "GPU-ab"
