"""A bundle is written whole or not at all, knows when it was damaged, and takes nothing away that is not its own."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from irene.errors import BadBundle, CannotWrite, NoSpace
from irene.files import write_together
from irene.predictor.bundle import load_bundle, save_bundle
from irene.predictor.predictor import Predictor

FLIPS = 125  # in all files of a bundle


@pytest.fixture
def folder(fitted: Predictor, tmp_path: Path) -> Path:
    return save_bundle(fitted, tmp_path / "bundle")


def read_all(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("written", [0, 3, 16])
def test_a_full_disk_leaves_the_old_bundle(
    fitted: Predictor, folder: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    before, calls = read_all(folder), []
    sync = os.fsync

    def fail(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > min(written, len(before) - 1):
            raise OSError(28, "No space left on device")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(NoSpace, match="no space left. What was there is untouched"):
        save_bundle(fitted, folder)
    assert read_all(folder) == before


def test_the_content_comes_last_and_a_kill_leaves_nothing_half_written(
    fitted: Predictor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = (folder / "bundle.json").read_bytes()
    replaced: list[Any] = []
    replace = os.replace

    def stop(source: Any, target: Any) -> None:
        replaced.append(Path(target).name)
        if replaced[-1] == "bundle.json":
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr(os, "replace", stop)
    (folder / "power.npz").write_bytes(b"of another training")
    with pytest.raises(KeyboardInterrupt):
        save_bundle(fitted, folder)
    assert replaced[-1] == "bundle.json" and (folder / "bundle.json").read_bytes() == content
    assert {path.suffix for path in folder.iterdir()} == {".json", ".npz"}  # nothing half written is left


def test_only_files_of_the_old_bundle_are_taken_away(fitted: Predictor, tmp_path: Path) -> None:
    (tmp_path / "mine.npz").write_bytes(b"mine")
    (tmp_path / "time-gemm-half.npz").write_bytes(b"mine too, until a bundle is written here")
    save_bundle(fitted, tmp_path)
    content = json.loads((tmp_path / "bundle.json").read_text())
    content["regressors"]["power-convolution"], content["files"]["power-convolution.npz"] = 0.5, "0"
    (tmp_path / "bundle.json").write_text(json.dumps(content))
    for name in ("power-convolution.npz", "power-attention-math.npz"):
        (tmp_path / name).write_bytes(b"0")
    listed = set(content["files"]) - {"power-convolution.npz"}
    save_bundle(fitted, tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == listed | {"bundle.json", "mine.npz", "power-attention-math.npz"}
    assert (tmp_path / "mine.npz").read_bytes() == b"mine"


def test_content_that_was_edited_is_refused(folder: Path) -> None:
    path = folder / "bundle.json"
    text = path.read_text()
    path.write_text(text.replace('"factor": ', '"factor": 1'))
    with pytest.raises(BadBundle, match="at digest, expected the digest of the content: it was damaged or edited"):
        load_bundle(folder)
    content = json.loads(text)
    del content["digest"]
    path.write_text(json.dumps(content))
    with pytest.raises(BadBundle, match="expected a key 'digest'"):
        load_bundle(folder)
    path.write_text(json.dumps(json.loads(text), separators=(",", ":")))  # another way of writing the same
    load_bundle(folder)


def test_one_flipped_bit_of_a_bundle(folder: Path, tmp_path: Path) -> None:
    whole = read_all(folder)
    expected = read_all(save_bundle(load_bundle(folder), tmp_path / "expected"))
    draw, refused = random.Random(0), 0
    names = [*(["bundle.json"] * (FLIPS // 2)), *draw.choices(sorted(whole), k=FLIPS - FLIPS // 2)]
    for at, name in enumerate(names):
        bit = draw.randrange(8 * len(whole[name]))
        damaged = bytearray(whole[name])
        damaged[bit // 8] ^= 1 << bit % 8
        (folder / name).write_bytes(damaged)
        try:
            again = save_bundle(load_bundle(folder), tmp_path / "again" / str(at))
        except BadBundle:
            refused += 1
        else:
            assert read_all(again) == expected, (name, bit)
        (folder / name).write_bytes(whole[name])
    assert refused > 0.9 * FLIPS


def test_files_appear_together_or_none(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    with pytest.raises(CannotWrite, match="Cannot write .*b'"):
        write_together({tmp_path / "a": "1", tmp_path / "b": "2"})
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    write_together({tmp_path / "a": "1", tmp_path / "c": b"2"})
    assert ((tmp_path / "a").read_text(), (tmp_path / "c").read_text()) == ("1", "2")
