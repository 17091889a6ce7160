"""Meters without hardware: simulated and replayed ones, NVML and RAPL against fakes of their doors."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irene.errors import BadDataset, MeterError, NoMeasurement, NotSupported
from irene.meters import (
    DeviceState,
    Meter,
    NvmlMeter,
    RaplMeter,
    ReplayedMeter,
    SimulatedMeter,
    VirtualClock,
    load_replay,
)
from irene.meters.nvml import find_visible_device


@given(st.floats(0.1, 20.0), st.integers(0, 1000))
def test_simulated_counter_is_the_integral_as_of_the_last_update(time_s, seed):
    clock = VirtualClock()
    meter = SimulatedMeter(lambda t: 400 + 300 * math.sin(t), clock=clock, seed=seed, read_duration_s=0.0)
    clock.sleep(time_s)

    def exact_j(t):
        return 400 * t + 300 * (1 - math.cos(t))

    assert exact_j(time_s - 0.127) - 0.01 <= meter.read_energy_j() <= exact_j(time_s) + 0.01


def test_simulated_updates_come_75_to_126_ms_apart():
    clock = VirtualClock()
    meter = SimulatedMeter(lambda t: 300.0, clock=clock, read_duration_s=0.001)
    seen = {}
    while clock() < 20:
        seen.setdefault(meter.read_energy_j(), clock())
    times = list(seen.values())[1:]
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert 0.073 <= min(gaps) < 0.08 and 0.12 < max(gaps) <= 0.128


def test_simulated_faults():
    clock = VirtualClock()
    meter = SimulatedMeter(lambda t: 300.0, clock=clock, gain=2.0, offset_j=50.0, wrap_j=1000.0, jitter=(1.0, 1.0))
    assert meter.read_energy_j() == 50.0
    clock.sleep(1.0)
    assert meter.read_energy_j() == pytest.approx(650.0)
    clock.sleep(1.0)
    assert meter.read_energy_j() == pytest.approx(250.0)
    with pytest.raises(NotSupported):
        SimulatedMeter(lambda t: 1.0, clock=clock, supports_energy=False).read_energy_j()


def test_simulated_power_climbs_over_its_averaging_time():
    clock = VirtualClock()
    meter = SimulatedMeter(lambda t: 700.0 if t >= 2 else 100.0, clock=clock, read_duration_s=0.0)
    clock.sleep(2.5)
    assert meter.read_power_w() == pytest.approx(400.0, rel=0.01)
    clock.sleep(0.5)
    state = meter.read_state()
    assert state.power_w == pytest.approx(700.0) and state.temperature_c == 45.0


def test_replayed_plays_and_ends():
    clock = VirtualClock(now_s=7.0)
    records = [(100.0, 0.0), (100.1, 30.0, DeviceState(temperature_c=50.0)), (100.2, 60.0)]
    meter = ReplayedMeter(records, clock=clock)
    assert meter.read_energy_j() == 0.0 and meter.read_state() == DeviceState()
    clock.sleep(0.15)
    assert meter.read_energy_j() == 30.0 and meter.read_state().temperature_c == 50.0
    assert meter.read_power_w() == pytest.approx(300.0)
    clock.sleep(0.1)
    with pytest.raises(NoMeasurement, match=r"log of 0\.200 s is over"):
        meter.read_energy_j()


def test_replay_from_files(tmp_path):
    rows = [{"time_s": 0.0, "energy_j": 1.5, "throttle_reasons": 4}, {"time_s": 0.1, "energy_j": 2.5, "power_w": None}]
    (tmp_path / "log.json").write_text(json.dumps(rows))
    (tmp_path / "log.csv").write_text("time_s,energy_j,throttle_reasons\n0.0,1.5,4\n0.1,2.5,\n")
    for name in ("log.json", "log.csv"):
        clock = VirtualClock()
        meter = load_replay(tmp_path / name, clock=clock)
        assert meter.read_energy_j() == 1.5 and meter.read_state().throttle_reasons == 4 and meter.name == name
        clock.sleep(0.1)
        assert meter.read_energy_j() == 2.5 and meter.read_state().throttle_reasons is None


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "{}",
        '[{"time_s": 0}]',
        '[{"time_s": 0, "energy_j": 1, "watt": 2}]',
        '[{"time_s": 0, "energy_j": "x"}]',
        "[]",
    ],
)
def test_unreadable_replays_are_bad_datasets(tmp_path, text):
    (tmp_path / "log.json").write_text(text)
    with pytest.raises(BadDataset):
        load_replay(tmp_path / "log.json")
    with pytest.raises(BadDataset):
        load_replay(tmp_path / "missing.csv")


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


@pytest.fixture
def use_nvml(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def use(**overrides):
        nvml = make_nvml(**overrides)
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        return nvml

    return use


def raise_code(code):
    def fail(*_):
        raise FakeNvmlError(code)

    return fail


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


def test_rapl_unwraps(tmp_path):
    def write(energy_uj):
        (tmp_path / "energy_uj").write_text(f"{energy_uj}\n")

    write(900_000_000)
    (tmp_path / "name").write_text("package-0\n")
    (tmp_path / "max_energy_range_uj").write_text("1000000000\n")
    meter = RaplMeter(tmp_path)
    assert meter.name == "package-0" and meter.read_energy_j() == pytest.approx(900.0)
    write(100_000_000)
    assert meter.read_energy_j() == pytest.approx(1100.0)
    with pytest.raises(NotSupported):
        meter.read_power_w()
    assert meter.read_state() == DeviceState()


def test_all_meters_keep_the_protocol(use_nvml):
    use_nvml()
    for meter in (NvmlMeter(), ReplayedMeter([(0, 0), (1, 1)]), SimulatedMeter(lambda t: 1.0)):
        assert isinstance(meter, Meter)
        meter.close()
        meter.close()


def test_importing_meters_loads_no_driver():
    code = "import sys, irene.meters; sys.exit(bool({'pynvml', 'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
