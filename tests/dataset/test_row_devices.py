"""Rows of another GPU are refused in one line, by training too; rows find their device by what the driver calls it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from irene.dataset.row_devices import GPUS, find_device
from irene.errors import BadDataset
from irene.hardware import devices
from irene.hardware.devices import load_device
from irene.predictor.training import fit


def _rows(*gpus: str) -> pd.DataFrame:
    rows = pd.DataFrame({"signature": []})
    rows.attrs[GPUS] = list(gpus)
    return rows


def test_rows_find_their_device() -> None:
    assert find_device(_rows("NVIDIA H200")).name == "h200"
    assert find_device(_rows("NVIDIA H200"), "H200").name == "h200"
    assert find_device(_rows()).name == devices.DEFAULT_DEVICE


@pytest.mark.parametrize(("gpus", "device"), [(["NVIDIA H100"], "h200"), (["NVIDIA H100", "NVIDIA H200"], "h200")])
def test_rows_of_another_gpu_are_refused(gpus: list[str], device: str) -> None:
    with pytest.raises(BadDataset, match="measured on NVIDIA H100, the spec sheet of h200 is of NVIDIA H200") as caught:
        find_device(_rows(*gpus), device)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadDataset, match="measured on NVIDIA H100"):
        fit(_rows(*gpus), device=device)


def test_a_gpu_without_a_sheet_is_named() -> None:
    with pytest.raises(BadDataset, match="measured on Abacus 9: no spec sheet"):
        find_device(_rows("Abacus 9"))


def test_a_sheet_of_ones_own_is_read_from_its_path_and_found_by_its_name_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "_READ", {})
    text = (devices._SPECS / "h200.toml").read_text()
    own = text.replace('name = "h200"', 'name = "mine"').replace('["NVIDIA H200"]', '["Abacus 9"]')
    path = tmp_path / "my-gpu.toml"
    path.write_text(own.replace("value = 132", "value = 66"))
    assert find_device(_rows("Abacus 9"), str(path)).sm_count == load_device("mine").sm_count == 66
    path.write_text(text.replace("value = 132", "value = 66"))
    with pytest.raises(devices.BadInput, match="name 'h200' is that of a shipped sheet with other numbers"):
        load_device(str(path))


def test_one_name_means_one_sheet_to_all_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "_READ", {})
    text = (devices._SPECS / "h200.toml").read_text().replace('name = "h200"', 'name = "mine"')
    mine, others = tmp_path / "mine.toml", tmp_path / "others.toml"
    mine.write_text(text)
    others.write_text(text.replace("value = 132", "value = 66"))
    assert load_device(str(mine)).sm_count == 132
    with pytest.raises(devices.BadInput, match="is that of another sheet with other numbers, read before; rename it"):
        load_device(str(others))
    assert load_device("mine").sm_count == 132
    others.write_text(text + "\n# the same numbers\n")
    assert load_device(str(others)) == load_device("mine")
    others.write_text(text.replace("value = 132", "value = 66"))  # edited where it was read last
    assert load_device(str(others)).sm_count == load_device("mine").sm_count == 66
