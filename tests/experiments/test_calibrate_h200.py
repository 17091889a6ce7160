"""The distorted sheet is one that irene reads, and differs by the factors that were drawn."""

from __future__ import annotations

from pathlib import Path

import pytest

from irene.hardware import load_device
from tests.experiments.loading import load_experiment


def test_the_sheet_is_distorted_by_what_was_drawn_and_is_read(tmp_path: Path) -> None:
    run = load_experiment("calibrate-h200/run.py")
    sheet, factors = run.make_sheet(1)
    run.write_sheet(sheet, tmp_path / "sheet.toml")
    read, h200 = load_device(str(tmp_path / "sheet.toml")), load_device("h200")
    assert read.name == run.NAME and read.driver_names == h200.driver_names
    assert read.peak("bfloat16") / h200.peak("bfloat16") == pytest.approx(factors["arithmetic"])
    assert read.power_cap_w / h200.power_cap_w == pytest.approx(factors["cap"])
    assert read.process == run.PROCESS != h200.process
