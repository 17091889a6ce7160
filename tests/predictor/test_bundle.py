"""A bundle on disk: what is saved is loaded, and what is not exactly that is refused in one line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irene.digests import digest_object
from irene.errors import BadBundle, CannotWrite, UnknownName
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


@pytest.mark.parametrize("name", ["power.npz", "time-gemm-half.npz"])
def test_a_damaged_regressor(folder: Path, name: str) -> None:
    raw = bytearray((folder / name).read_bytes())
    raw[len(raw) // 2] ^= 1
    (folder / name).write_bytes(raw)
    refuse(folder, f"{name}.*checksum")
    (folder / name).unlink()
    refuse(folder, f"{name}.*No such file")


def test_a_regressor_that_is_no_file_of_arrays(folder: Path) -> None:
    (folder / "power.npz").write_bytes(b"nonsense")
    change(folder, lambda c: c["files"].update({"power.npz": hashlib.sha256(b"nonsense").hexdigest()}))
    refuse(folder, "power: it does not unpack")


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"gp.inducing_points": None}, "the arrays gp.inducing_points are missing"),
        ({"trees.leaf": None}, "the arrays trees.leaf are missing"),
        ({"more": np.zeros(3)}, "unknown arrays: more"),
        ({"gp.coefficients": np.zeros(3)}, "do not fit"),
        ({"gp.coefficients": np.array([np.nan])}, "not finite"),
        ({"gp.columns": np.array([10_000], np.int32)}, "do not fit"),
        ({"gp.centre": np.array([None])}, "does not fit its"),
        ({"trees.columns": np.array(7, np.int32)}, "none of the 7 columns"),
        ({"trees.cut_column": np.array([10_000], np.int16)}, "got"),
    ],
)
def test_arrays_that_are_no_regressor(folder: Path, stored: dict[str, Any], words: str) -> None:
    path = folder / "power.npz"
    with np.load(path) as arrays:
        whole = {**dict(arrays), **stored}
    np.savez(path, allow_pickle=True, **{name: array for name, array in whole.items() if array is not None})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    change(folder, lambda c: c["files"].update({"power.npz": digest}))
    refuse(folder, words)


def change(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    path = folder / "bundle.json"
    content = json.loads(path.read_text())
    edit(content)
    content["digest"] = digest_object(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda c: c.update(schema_version=9), "schema_version is 9, this irene reads 8. Update irene"),
        (lambda c: c.update(schema_version=5), "schema_version is 5.*Train it again"),
        (lambda c: c.update(schema_version=True), "at schema_version, expected a whole number.*got True"),
        (lambda c: c.pop("schema_version"), "expected a key .schema_version"),
        (lambda c: c.update(colour="red"), "at the top, expected only the keys.*got also .colour"),
        (lambda c: c.pop("host"), "at the top, expected a key .host"),
        (lambda c: c["domain"].update(planets=[]), "at domain, expected only the keys.*also .planets"),
        (lambda c: c["weights"].update(bias=[]), "at weights, expected only the keys.*also .bias"),
        (lambda c: c["info"].update(author="x"), "author"),
        (lambda c: c["host"].update(speed_s=1.0), "speed_s"),
        (lambda c: c["host"].pop("view_s"), "view_s"),
        (lambda c: c["host"].update(view_s="fast"), "at host.view_s, expected a number"),
        (lambda c: c["intervals"]["by_kind"].update(gemm=None), "at intervals.by_kind.gemm, expected a number"),
        (lambda c: c["regressors"].pop("power"), "at regressors, expected a key .power"),
        (lambda c: c["regressors"].update(luck="0"), "at regressors, expected only the keys.*also .luck"),
        (
            lambda c: c["regressors"].update({"power-gemm-half": 0.5}),
            "at regressors, expected only the keys.*also .power-gemm-half",
        ),
        (
            lambda c: c["features"]["time-gemm-half"].__setitem__(0, "log2_taste"),
            "columns that this irene computes.*also log2_taste",
        ),
        (lambda c: c["weights"]["features"].pop(), "at weights.features, expected those of this irene"),
        (lambda c: c["weights"]["energy"].pop(), "at weights.energy, expected a list of 11 values, got 10"),
        (lambda c: c["rate_power"]["rates"].reverse(), "at rate_power.rates, expected those"),
        (lambda c: c["rate_power"]["watts"].pop(), "at rate_power.watts, expected a list of 9"),
        (lambda c: c["rate_power"].update(more=1), "at rate_power, expected only the keys.*also .more"),
        (
            lambda c: c["domain"]["ranges"]["gemm"].update(bfloat16=[1.0]),
            "ranges.gemm.bfloat16, expected a list of 4",
        ),
        (lambda c: c["host"].update(factor=float("nan")), "not JSON: NaN is no number"),
        (lambda c: c.update(device="abacus"), "at device, expected an object"),
        (lambda c: c["device"]["sm_count"].update(value=66), "spec sheet of h200.*sm_count is 66 in one, 132"),
        (lambda c: c["device"].pop("l2_bytes"), "missing key.*l2_bytes"),
        (lambda c: c["domain"].update(ranges=[]), "expected an object"),
        (lambda c: c["domain"]["ranges"].update(gemm=3), "expected an object"),
        (lambda c: c.update(host=[]), "expected an object"),
        (lambda c: c.update(features=["gemm", "vector"]), "expected an object"),
        (lambda c: c["features"].pop("power"), "at features, expected a key .power"),
        (lambda c: c["files"].pop("power.npz"), "at files, expected a key .power.npz"),
        (lambda c: c["files"].update({"../power.npz": "0"}), "at files, expected only the keys.*also .*power.npz"),
        (lambda c: c["regressors"].update(power="half"), "at regressors.power, expected a number from 0 to 1"),
        (lambda c: c.update(info=[]), "at info, expected an object"),
        (lambda c: c.update(regressors=[]), "at regressors, expected an object"),
    ],
)
def test_content_of_another_kind(folder: Path, edit: Callable[[dict[str, Any]], Any], words: str) -> None:
    change(folder, edit)
    refuse(folder, words)


@pytest.mark.parametrize(
    ("text", "words"), [("{", "not JSON"), ("[1]", "at the top, expected an object"), ("", "not JSON")]
)
def test_not_json(folder: Path, text: str, words: str) -> None:
    (folder / "bundle.json").write_text(text)
    refuse(folder, words)


def test_nothing_there(tmp_path: Path) -> None:
    refuse(tmp_path, "Cannot read the predictor bundle .*No such file")
    refuse(tmp_path / "missing", "No such file")
    (tmp_path / "bundle.json").write_bytes(b"\xff\xfe")
    refuse(tmp_path, "no UTF-8 text")


def test_a_place_that_cannot_be_written(fitted: Predictor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="Cannot write .*Not a directory"):
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
