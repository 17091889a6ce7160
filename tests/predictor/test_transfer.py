"""A predictor for a device that nobody measured: it answers, says so, and is not taken for more."""

from __future__ import annotations

from pathlib import Path

import pytest

from irene.errors import BadInput, UnknownName
from irene.hardware.devices import list_devices, load_device
from irene.model_tree.tree import ModelTree
from irene.predictor import predict
from irene.predictor.bundle import save_bundle
from irene.predictor.predictor import Predictor
from irene.predictor.transfer import transfer


@pytest.mark.parametrize("device", [name for name in list_devices() if "bfloat16" in load_device(name).peak_flop_per_s])
def test_every_device_has_a_number_its_width_and_its_provenance(tree: ModelTree, device: str) -> None:
    prediction = predict(tree, device=device)
    low_j, high_j = prediction.interval_j
    assert prediction.device == device and 0 < low_j < prediction.energy_j < high_j
    if device != "h200":
        assert prediction.provenance_shares["transferred"] == pytest.approx(1.0)
        assert high_j > 1.3 * prediction.energy_j and device in prediction.predictor.name


def test_a_dtype_that_the_device_lacks_has_no_number(tree: ModelTree) -> None:
    with pytest.raises(UnknownName, match="bfloat16.*v100-sxm2-32gb"):
        predict(tree, device="v100-sxm2-32gb")


def test_a_locked_clock_is_transferred_too_and_must_exist(tree: ModelTree) -> None:
    slowed = predict(tree, sm_clock_hz=1.2e9)
    assert slowed.provenance_shares["transferred"] == pytest.approx(1.0)
    with pytest.raises(BadInput, match="The clock of h200 is from 297 to 1980 MHz, got 2.1e"):
        predict(tree, sm_clock_hz=2.1e9)


def test_what_was_transferred_is_neither_saved_nor_transferred_again(shipped: Predictor, tmp_path: Path) -> None:
    elsewhere = transfer(shipped, load_device("a10"))
    with pytest.raises(BadInput, match="a10 that was transferred from another device is not saved"):
        save_bundle(elsewhere, tmp_path)
    with pytest.raises(BadInput, match="a10 that was transferred cannot be transferred again"):
        transfer(elsewhere, load_device("t4"))
