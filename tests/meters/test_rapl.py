"""RAPL against a folder like its own: the counter is unwrapped, or refused."""

from __future__ import annotations

import pytest

from irene.errors import MeterError, NotSupported
from irene.meters import DeviceState, RaplMeter


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
    write("much")
    with pytest.raises(MeterError, match="energy_uj: expected a whole number of microjoules, got 'much'"):
        meter.read_energy_j()


def test_rapl_does_not_unwrap_a_range_that_is_not_known(tmp_path):
    for file, text in (("name", "package-0"), ("energy_uj", "900000000"), ("max_energy_range_uj", "0")):
        (tmp_path / file).write_text(text)
    meter = RaplMeter(tmp_path)
    assert meter.read_energy_j() == pytest.approx(900.0)
    (tmp_path / "energy_uj").write_text("100000000")
    with pytest.raises(MeterError, match=r"fell from 900.0 to 100.0 J, and its range is 0.0 J"):
        meter.read_energy_j()
