"""Meters without hardware, simulated and replayed; and what all meters have in common."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irene.errors import BadDataset, NoMeasurement, NotSupported
from irene.meters import DeviceState, Meter, NvmlMeter, ReplayedMeter, SimulatedMeter, VirtualClock, load_replay


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
        '[{"time_s": 0, "energy_j": NaN}, {"time_s": 1, "energy_j": 1}]',
        '[{"time_s": 0, "energy_j": "nan"}, {"time_s": 1, "energy_j": 1}]',
        "[" * 100_000,
    ],
)
def test_unreadable_replays_are_bad_datasets(tmp_path, text):
    (tmp_path / "log.json").write_text(text)
    with pytest.raises(BadDataset):
        load_replay(tmp_path / "log.json")
    with pytest.raises(BadDataset):
        load_replay(tmp_path / "missing.csv")


def test_all_meters_keep_the_protocol(use_nvml):
    use_nvml()
    for meter in (NvmlMeter(), ReplayedMeter([(0, 0), (1, 1)]), SimulatedMeter(lambda t: 1.0)):
        assert isinstance(meter, Meter)
        meter.close()
        meter.close()


def test_importing_meters_loads_no_driver():
    code = "import sys, irene.meters; sys.exit(bool({'pynvml', 'torch', 'numpy', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
