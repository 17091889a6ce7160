"""A bundle on disk: what is saved is loaded, and what is not exactly that is refused in one line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irene.errors import BadBundle, BadInput, UnknownName
from irene.predictor import predict
from irene.predictor.bundle import load_bundle, save_bundle, shipped_bundle
from irene.predictor.predictor import Predictor
from tests.predictor.made_law import UNKNOWN, gelu, linear, tree_of

TREE = tree_of([linear(512, 768, 1024), gelu(64, 1024, "float32"), UNKNOWN])


@pytest.fixture
def folder(fitted: Predictor, tmp_path: Path) -> Path:
    return save_bundle(fitted, tmp_path / "bundle")


def test_round_trip(fitted: Predictor, folder: Path, tmp_path: Path) -> None:
    loaded = load_bundle(folder)
    before, after = fitted.predict(TREE), loaded.predict(TREE)
    for name in ("energy_j", "low_j", "high_j", "duration_s", "isolated_energy_j", "compute_j"):
        np.testing.assert_array_equal(getattr(before.values, name), getattr(after.values, name))
    assert before.values.provenance == after.values.provenance
    assert (loaded.info, loaded.host, loaded.weights, loaded.intervals, loaded.domain) == (
        fitted.info, fitted.host, fitted.weights, fitted.intervals, fitted.domain,
    )  # fmt: skip
    again = save_bundle(loaded, tmp_path / "again")
    assert (again / "bundle.json").read_bytes() == (folder / "bundle.json").read_bytes()
    assert load_bundle(folder / "bundle.json").info == fitted.info


def refuse(folder: Path, words: str) -> None:
    with pytest.raises(BadBundle, match=words) as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", ["power.ubj", "time-gemm-half.npz"])
def test_a_damaged_regressor(folder: Path, name: str) -> None:
    raw = bytearray((folder / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / name).write_bytes(raw)
    refuse(folder, f"{name}.*checksum")
    (folder / name).unlink()
    refuse(folder, f"{name}.*No such file")


def test_a_regressor_that_xgboost_cannot_read(folder: Path) -> None:
    (folder / "power.ubj").write_bytes(b"nonsense")
    change(folder, lambda c: c["files"].update({"power.ubj": hashlib.sha256(b"nonsense").hexdigest()}))
    refuse(folder, "not a predictor bundle")


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"points": np.zeros((3, 2))}, "expected the arrays columns, centre"),
        ({"weights": np.zeros(3)}, "do not fit"),
        ({"columns": np.array([10_000])}, "do not fit"),
        ({"centre": np.array([None])}, "pickle"),
    ],
)
def test_arrays_that_are_no_smooth_regressor(folder: Path, stored: dict[str, Any], words: str) -> None:
    path = folder / "power.npz"
    with np.load(path) as arrays:
        whole = {} if "points" in stored else dict(arrays)
    np.savez(path, allow_pickle=True, **{**whole, **stored})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    change(folder, lambda c: c["files"].update({"power.npz": digest}))
    refuse(folder, words)


def change(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "bundle.json"
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda c: c.update(schema_version=7), "schema_version is 7, this irene reads 6. Update irene"),
        (lambda c: c.update(schema_version=5), "schema_version is 5.*Train it again"),
        (lambda c: c.update(schema_version=True), "schema_version is True"),
        (lambda c: c.pop("schema_version"), "schema_version is None"),
        (lambda c: c.update(colour="red"), "the top: keys missing or unknown: colour"),
        (lambda c: c.pop("host"), "the top: keys missing or unknown: host"),
        (lambda c: c["domain"].update(planets=[]), "domain: keys missing or unknown: planets"),
        (lambda c: c["weights"].update(bias=[]), "weights: keys missing or unknown: bias"),
        (lambda c: c["info"].update(author="x"), "author"),
        (lambda c: c["host"].update(speed_s=1.0), "speed_s"),
        (lambda c: c["host"].pop("view_s"), "view_s"),
        (lambda c: c["host"].update(view_s="fast"), "expected numbers"),
        (lambda c: c["intervals"]["by_kind"].update(gemm=None), "expected numbers"),
        (lambda c: c["regressors"].pop("power"), "regressors: keys missing or unknown: power"),
        (lambda c: c["regressors"].update(luck="0"), "regressors: keys missing or unknown: luck"),
        (
            lambda c: c["regressors"].update({"power-gemm-half": 0.5}),
            "regressors: keys missing or unknown: power-gemm-half",
        ),
        (lambda c: c["features"]["time-gemm-half"].reverse(), "features of 'time-gemm-half' are not those"),
        (lambda c: c["weights"]["features"].pop(), "weight features are not those"),
        (lambda c: c["weights"]["energy"].pop(), "expected 11 weights of each kind, got 10 and 11"),
        (lambda c: c["rate_power"]["rates"].reverse(), "rates of power are not those"),
        (lambda c: c["rate_power"]["watts"].pop(), "rates of power are not those"),
        (lambda c: c["rate_power"].update(more=1), "rate_power: keys missing or unknown: more"),
        (lambda c: c["domain"]["ranges"]["gemm"].update(bfloat16=[1.0]), "not a predictor bundle"),
        (lambda c: c["host"].update(factor=float("nan")), "not JSON .NaN is no number"),
        (lambda c: c.update(device="abacus"), "abacus"),
        (lambda c: c["domain"].update(ranges=[]), "expected an object"),
        (lambda c: c["domain"]["ranges"].update(gemm=3), "expected an object"),
        (lambda c: c.update(host=[]), "expected an object"),
        (lambda c: c.update(features=["gemm", "vector"]), "expected an object"),
        (lambda c: c["features"].pop("power"), "features: keys missing or unknown: power"),
        (lambda c: c["files"].pop("power.npz"), "files: keys missing or unknown: power.npz"),
        (lambda c: c["files"].update({"../power.npz": "0"}), "files: keys missing or unknown: ../power.npz"),
        (lambda c: c["regressors"].update(power="half"), "expected numbers"),
        (lambda c: c.update(info=[]), "not a predictor bundle"),
        (lambda c: c.update(regressors=[]), "regressors: expected an object, got list"),
    ],
)
def test_content_of_another_kind(folder: Path, edit: Callable[[dict[str, Any]], Any], words: str) -> None:
    change(folder, edit)
    refuse(folder, words)


@pytest.mark.parametrize(
    ("text", "words"), [("{", "not JSON"), ("[1]", "expected a JSON object, got list"), ("", "not JSON")]
)
def test_not_json(folder: Path, text: str, words: str) -> None:
    (folder / "bundle.json").write_text(text)
    refuse(folder, words)


def test_nothing_there(tmp_path: Path) -> None:
    refuse(tmp_path, "No such file.*'irene train' wrote")
    refuse(tmp_path / "missing", "No such file")
    (tmp_path / "bundle.json").write_bytes(b"\xff\xfe")
    refuse(tmp_path, "not JSON")


def test_a_place_that_cannot_be_written(fitted: Predictor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="Cannot write the bundle"):
        save_bundle(fitted, tmp_path / "file" / "bundle")


def test_a_bundle_trained_again_is_loaded_again(fitted: Predictor, folder: Path) -> None:
    before = predict(TREE, predictor=folder).energy_j
    assert predict(TREE, predictor=str(folder)).energy_j == before
    change(folder, lambda c: c["host"].update(factor=10.0))
    assert predict(TREE, predictor=folder).energy_j > before


def test_devices(fitted: Predictor, folder: Path) -> None:
    assert predict(TREE, predictor=fitted, device="NVIDIA H200").energy_j == predict(TREE, predictor=folder).energy_j
    assert shipped_bundle("H200").name == "h200"
    with pytest.raises(UnknownName, match="Did you mean 'h200'"):
        predict(TREE, device="h20")
