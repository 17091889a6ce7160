"""A made-up card, whose roofs, floor, cap and joules were drawn: points that are measured on it find it again."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from irene.errors import BadBundle, BadInput, UnknownName
from irene.hardware.devices import load_device
from irene.leaves.leaf_table import effective_dtype, make_table
from irene.leaves.learn_correction import Points
from irene.measuring import starting
from irene.measuring.calibration_plan import plan_calibration, without_energy
from irene.measuring.counter import measure_counter_period, measure_idle_power
from irene.meters import SimulatedMeter
from irene.model_tree.tree import ModelTree
from irene.predictor import calibrate, predict
from irene.predictor.calibration import (
    Calibration,
    MeteredModel,
    apply_calibration,
    as_seen,
    find_cap_w,
    learn_calibration,
)
from irene.predictor.calibration_files import load_calibration, save_calibration, source_digest
from irene.predictor.made_up_card import draw_factors, make_up_card, predict_card
from irene.predictor.transfer import transfer
from tests.golden.computing import load_golden_tree

if TYPE_CHECKING:
    from irene.predictor.predictor import Predictor

SHEET = load_device("a10")
FACTORS = {"arithmetic": 0.75, "bandwidth": 0.8, "floor": 1.6, "cap": 0.85, "joules": 1.3}
METERED, UNSEEN = ("bert-base", "opt", "t5-small"), ("distilbert", "llama-1b", "vit")


@pytest.fixture(scope="module")
def card(shipped: Predictor) -> Predictor:
    return predict_card(shipped, SHEET, FACTORS)


@functools.cache
def _tree(name: str) -> ModelTree:
    return load_golden_tree(name)


def _points(card: Predictor, count: int) -> Points:
    cases = plan_calibration(SHEET, count).primitives
    noise = np.exp(np.random.default_rng(count).normal(0.0, 0.01, (3, count)))
    dtypes, cold = [effective_dtype(c.call, c.dtype) for c in cases], [c.weights == "cold" for c in cases]
    there = make_table([case.call for case in cases], dtypes, cold, card.spec)
    values = card.leaves.predict(there)
    burst_s, duration_s, energy_j = noise * [card.leaves.predict_burst_s(there), values.duration_s, values.energy_j]
    return Points(make_table(there.calls, dtypes, cold, SHEET), burst_s, duration_s, energy_j)


def _learn(shipped: Predictor, card: Predictor, count: int, models: tuple[str, ...]) -> Calibration:
    metered = [MeteredModel(_tree(name), card.predict(_tree(name)).energy_j) for name in models]
    return learn_calibration(shipped, SHEET, _points(card, count), metered, source_digest())


@pytest.fixture(scope="module")
def forty(shipped: Predictor, card: Predictor) -> Calibration:
    return _learn(shipped, card, 40, METERED)


def _error(fitted: Predictor, card: Predictor) -> float:
    """Mean error of joules and of time of models that were not metered."""
    pairs = [(fitted.predict(_tree(name)), card.predict(_tree(name))) for name in UNSEEN]
    off = [abs(getattr(a, what) / getattr(b, what) - 1.0) for a, b in pairs for what in ("energy_j", "duration_s")]
    return sum(off) / len(off)


def test_eight_points_help_and_forty_find_the_card_again(
    shipped: Predictor, card: Predictor, forty: Calibration
) -> None:
    eight = _learn(shipped, card, 8, METERED)
    fitted = [transfer(shipped, SHEET), *(apply_calibration(shipped, one) for one in (eight, forty))]
    zero_off, eight_off, forty_off = (_error(one, card) for one in fitted)
    assert zero_off > 0.2 and eight_off < 0.7 * zero_off
    assert forty_off < 0.08
    widths = [(p.interval_j[1] / p.energy_j) for p in (one.predict(_tree("vit")) for one in fitted)]
    assert widths[0] > widths[1] > widths[2] > 1.0
    assert "calibrated on 40 points and 3 models" in fitted[2].info.name
    assert forty.power_cap_w == pytest.approx(0.85 * 150, rel=0.02)


def test_a_cap_is_what_several_calls_have_in_common() -> None:
    assert find_cap_w(np.array([300.0, 280.0, 260.0])) is None
    assert find_cap_w(np.array([np.nan])) is None
    seen = as_seen(SHEET, 120.0, 30.0)
    assert (seen.power_cap_w, seen.context_idle_power_w) == (120.0, 30.0)
    assert as_seen(SHEET, None, 400.0) == SHEET  # more than the cap: no idle power


def test_what_is_saved_is_loaded(forty: Calibration, shipped: Predictor, tmp_path: Path) -> None:
    folder = save_calibration(forty, tmp_path / "a")
    loaded = load_calibration(folder)
    again = save_calibration(loaded, tmp_path / "b")
    for file in ("calibration.json", "residuals.npz"):
        assert (folder / file).read_bytes() == (again / file).read_bytes()
    one, two = (apply_calibration(shipped, c).predict(_tree("vit")).energy_j for c in (forty, loaded))
    assert one == two
    assert predict(_tree("vit"), device="a10", predictor=folder).energy_j == one
    with pytest.raises(UnknownName, match="t4.*trained for another device"):
        predict(_tree("vit"), device="t4", predictor=folder)
    with pytest.raises(BadInput, match="calibrated at the clock that the board chooses, and 900 MHz was asked"):
        predict(_tree("vit"), device="a10", predictor=folder, sm_clock_hz=9e8)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("source", "0" * 64, "made with another one"), ("points", -1, "points"), ("extra", 1, "extra"),
        ("joules_log", 9.0, "joules_log"), ("columns", ["a"], "columns"), ("power_cap_w", "much", "power_cap_w"),
        ("kernels", {"time": ["gemm-half"]}, "residuals.npz holds"), ("schema_version", 9, "schema_version"),
    ],
)  # fmt: skip
def test_anything_else_is_refused(forty: Calibration, tmp_path: Path, key: str, value: object, words: str) -> None:
    from irene.digests import OWN, digest_object

    path = save_calibration(forty, tmp_path / "c") / "calibration.json"
    content = json.loads(path.read_text()) | {key: value}
    content[OWN] = digest_object(content)
    path.write_text(json.dumps(content))
    with pytest.raises(BadBundle, match=words) as caught:
        load_calibration(path.parent)
    assert "\n" not in str(caught.value)


def test_damage_is_refused(forty: Calibration, tmp_path: Path) -> None:
    folder = save_calibration(forty, tmp_path / "d")
    raw = bytearray((folder / "residuals.npz").read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / "residuals.npz").write_bytes(raw)
    with pytest.raises(BadBundle, match="checksum"):
        load_calibration(folder)


def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "measure_idle_power", lambda meter, seconds: measure_idle_power(meter, 0.05))
    monkeypatch.setattr(starting, "measure_counter_period", functools.partial(measure_counter_period, ticks=5))


def test_the_collector_measures_it_and_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _hurry(monkeypatch)
    folder = calibrate(tmp_path / "bundle", device="a10", points=8, simulate=True)
    calibration = load_calibration(folder)
    assert (calibration.points, calibration.metered, calibration.models) == (8, 8, 3)
    assert calibration.idle_w == pytest.approx(SHEET.context_idle_power_w, rel=0.5)  # of some milliseconds
    assert "A made-up a10: arithmetic x" in capsys.readouterr().err
    before = (folder / "calibration.json").read_bytes()
    calibrate(tmp_path / "bundle", device="a10", points=8, simulate=True)  # nothing is measured anew
    assert (folder / "calibration.json").read_bytes() == before


def test_without_a_counter_time_alone_is_learned(
    shipped: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hurry(monkeypatch)
    machine = make_up_card(shipped, SHEET)
    machine.meter = SimulatedMeter(lambda t: 50.0, supports_energy=False)
    calibration = load_calibration(calibrate(tmp_path, device="a10", points=8, machine=machine))
    assert (calibration.points, calibration.metered, calibration.models) == (8, 0, 0)
    assert calibration.correction.time is not None and calibration.correction.joules is None


def test_the_plan_asks_for_what_the_device_and_the_model_have() -> None:
    volta = plan_calibration(load_device("v100-sxm2-32gb"), 40)
    assert {case.dtype for case in volta.primitives} == {"float16", "float32"}
    assert {case.workload.dtype for case in volta.models} == {"float16"} and len(volta.models) == 3
    own = plan_calibration(SHEET, 8, for_model="bert-tiny")
    assert own.models[0].model == "bert-tiny" and len(own.models) == 3
    assert not any(case.energy for case in without_energy(own).primitives)
    for points in (3, 7, 401):
        with pytest.raises(BadInput, match=f"takes 8 to 400 points, got {points}"):
            plan_calibration(SHEET, points)


def test_factors_are_drawn_by_seed() -> None:
    assert draw_factors(1) == draw_factors(1) != draw_factors(2)
