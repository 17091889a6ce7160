"""Zeus is not installed here: a module that is made up stands in for it."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from irene.errors import MeterError, NotSupported
from irene.meters import Meter
from irene.meters.zeus import ZeusMeter


class Gpus:
    def __len__(self) -> int:
        return 1

    def getName(self, index: int) -> str:  # noqa: N802
        return f"MI300X {index}"

    def getTotalEnergyConsumption(self, index: int) -> int:  # noqa: N802
        return 2500 + index

    def getInstantPowerUsage(self, index: int) -> int:  # noqa: N802
        return 310_000


class Newer(Gpus):
    def get_total_energy_consumption(self, index: int) -> int:
        return 4000


def _nothing() -> Any:
    raise RuntimeError("no driver")


def install(monkeypatch: pytest.MonkeyPatch, gpus: Any, chip: Any = None) -> None:
    zeus, device, soc = ModuleType("zeus"), ModuleType("zeus.device"), ModuleType("zeus.device.soc")
    device.get_gpus = _nothing if gpus is None else lambda: gpus  # type: ignore[attr-defined]
    soc.get_soc = _nothing if chip is None else lambda: chip  # type: ignore[attr-defined]
    for name, module in (("zeus", zeus), ("zeus.device", device), ("zeus.device.soc", soc)):
        monkeypatch.setitem(sys.modules, name, module)


def test_a_gpu_in_joules_and_watts(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Gpus())
    meter = ZeusMeter()
    assert isinstance(meter, Meter) and meter.name == "MI300X 0"
    assert (meter.read_energy_j(), meter.read_power_w(), meter.read_state().power_w) == (2.5, 310.0, 310.0)
    install(monkeypatch, Newer())
    assert ZeusMeter().read_energy_j() == 4.0


def test_a_chip_counts_its_module_or_its_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    class Jetson:
        counted: Any = SimpleNamespace(total_mj=9000, gpu_mj=4000)

        def getTotalEnergyConsumption(self) -> Any:  # noqa: N802
            return self.counted

    install(monkeypatch, None, Jetson())
    meter = ZeusMeter()
    assert (meter.name, meter.read_energy_j(), meter.read_state().power_w) == ("Jetson", 9.0, None)
    Jetson.counted = SimpleNamespace(total_mj=None, gpu_mj=4000)
    assert meter.read_energy_j() == 4.0
    Jetson.counted = SimpleNamespace()
    with pytest.raises(NotSupported, match="total_mj, gpu_mj"):
        meter.read_energy_j()


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None)
    with pytest.raises(MeterError, match="neither a GPU with index 0 nor a system on a chip"):
        ZeusMeter()
    install(monkeypatch, SimpleNamespace(__len__=None))
    monkeypatch.setitem(sys.modules, "zeus.device", None)
    with pytest.raises(MeterError, match=r"irene-energy\[zeus\]"):
        ZeusMeter()
