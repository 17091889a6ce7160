"""Bundles that somebody made to crash, fill or fool a reader, with checksums that match: refused in one line, soon."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import time
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest

from irene.digests import digest_bytes, digest_object
from irene.errors import BadBundle
from irene.leaves.learners.tree_files import TREE_ARRAYS
from irene.predictor.bundle import load_bundle, save_bundle
from irene.predictor.predictor import Predictor
from tests.turns import loop_s, turns_of

Arrays: TypeAlias = dict[str, Any]
FILE = "power.npz"


def craft(folder: Path, raw: bytes, edit: Callable[[dict[str, Any]], Any] = lambda content: None) -> None:
    """Put `raw` in the place of a regressor, and make all digests fit."""
    (folder / FILE).write_bytes(raw)
    content = json.loads((folder / "bundle.json").read_text())
    content["files"][FILE] = digest_bytes(raw)
    edit(content)
    content["digest"] = digest_object(content)
    (folder / "bundle.json").write_text(json.dumps(content))


def refuse(folder: Path, words: str) -> None:
    started_s, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadBundle, match=words) as caught:
        load_bundle(folder)
    assert len(str(caught.value).splitlines()) == 1 and len(str(caught.value)) < 1200
    took_s = time.process_time() - started_s
    assert took_s < 0.1 or turns_of(took_s, loop_s()) < 25e6  # a bomb takes 6 to 7 million turns
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400_000  # KiB


def pack(arrays: Arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def make_trees(sizes: list[int], is_split: list[int], columns: int, **other: Any) -> Arrays:
    """Arrays of trees with these bits, each split on column 0 at 0."""
    splits, leaves = sum(is_split), len(is_split) - sum(is_split)
    made: Arrays = {
        "sizes": sizes, "is_split": np.packbits(np.array(is_split, np.uint8)), "cut": [0] * splits, "cut_column": [0],
        "cut_at": [0.0], "leaf": [0.1] * leaves, "missing_left": np.packbits(np.zeros(splits, np.uint8)), "base": 0.0,
        "columns": columns,
    }  # fmt: skip
    made |= other
    return {f"trees.{name}": np.asarray(made[name], dtype=dtype) for name, dtype in TREE_ARRAYS.items()}


CHAIN = [1, *([1, 0] * 99), 0, 0]
TREES: dict[str, tuple[Callable[[int], Arrays], str]] = {
    "no tree": (lambda n: make_trees([], [], n), "other types or shapes"),
    "a tree without nodes": (lambda n: make_trees([0, 1], [0], n), "do not add up to their 1 nodes"),
    "a size below zero": (lambda n: make_trees([-1, 2], [0], n), "do not add up"),
    "sizes whose sum wraps": (lambda n: make_trees([2**31 - 1, 2**31 - 1, 3], [0], n), "do not add up"),
    "children out of range": (lambda n: make_trees([1], [1], n), "not one leaf more than splits"),
    "children in the next tree": (lambda n: make_trees([1, 5], [1, 0, 0, 1, 0, 0], n), "not one leaf more"),
    "a loop": (lambda n: make_trees([3], [0, 1, 0], n), "a split stands behind its children"),
    "a chain": (lambda n: make_trees([201], CHAIN, n), "more than 64 levels"),
    "a cut beyond all": (lambda n: make_trees([3], [1, 0, 0], n, cut=[7]), "beyond the 1 that there are"),
    "a column beyond all": (lambda n: make_trees([3], [1, 0, 0], n, cut_column=[n]), "looks at none of the"),
    "a column before all": (lambda n: make_trees([3], [1, 0, 0], n, cut_column=[-1]), "not one leaf more|none of the"),
    "a leaf that is no number": (lambda n: make_trees([1], [0], n, leaf=[np.nan]), "is not finite"),
    "a base that is no number": (lambda n: make_trees([1], [0], n, base=np.inf), "base of the trees is inf"),
    "a million trees": (lambda n: make_trees([1] * 10**6, [0] * 10**6, n), "1000000 trees are more than"),
    "other columns": (lambda n: make_trees([1], [0], n + 1), "expected "),
    "too many points": (lambda n: {"gp.inducing_points": np.zeros((3, 2_000_000), np.float32)}, "points of 3 numbers"),
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(fitted: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_bundle(fitted, tmp_path_factory.mktemp("whole") / "bundle")


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    for path in whole.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("name", TREES)
def test_arrays_that_are_no_regressor(folder: Path, name: str) -> None:
    make, words = TREES[name]
    with np.load(folder / FILE) as stored:
        arrays = dict(stored)
    craft(folder, pack(arrays | make(int(arrays["trees.columns"]))))
    refuse(folder, words)


def with_header(text: str, data: bytes = b"") -> bytes:
    """A .npy file whose header is `text`."""
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode("latin1") + data


def archive(raw: bytes, compression: int = zipfile.ZIP_DEFLATED, names: tuple[str, ...] = ("a.npy",)) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as made:
        warnings.simplefilter("ignore")  # of a name twice
        for name in names:
            made.writestr(name, raw)
    return buffer.getvalue()


class Runs:
    """What a pickle would call."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


def lie(raw: bytes) -> bytes:
    """A member of 80 million zeros that says it has ten."""
    at = raw.rindex(b"PK\x01\x02")
    entry = bytearray(raw)
    for place in (22, at + 24):
        entry[place : place + 4] = (10).to_bytes(4, "little")
    return bytes(entry)


def array(descr: str, shape: str, data: bytes = b"") -> bytes:
    return archive(with_header(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}}}\n", data))


RAW: dict[str, tuple[Callable[[], bytes], str]] = {
    "a bomb": (lambda: archive(bytes(80_000_000)), "unpacks to 80,000,000 bytes"),
    "a bomb that lies": (lambda: lie(archive(bytes(80_000_000))), "does not unpack"),
    "10^13 numbers": (lambda: array("<f8", "(10000000000000,)"), "does not fit its 0 bytes"),
    "sizes below zero": (lambda: array("|u1", "(-1, -8)", bytes(8)), "does not fit its 8 bytes"),
    "brackets in brackets": (lambda: archive(with_header("-" * 9000 + "1\n")), "header"),
    "a pickle": (lambda: pickle.dumps(Runs()), "does not unpack"),
    "a pickle inside": (lambda: array("|O", "()", pickle.dumps(Runs())), "type object does not fit"),
    "a name twice": (lambda: archive(b"1", names=("a.npy", "a.npy")), "two arrays of one name"),
    "another packing": (lambda: archive(b"1", zipfile.ZIP_LZMA), "another way than NumPy's"),
    "texts": (lambda: pack({"a": np.array("text")}), "type <U4 does not fit"),
}


@pytest.mark.parametrize("name", RAW)
def test_files_that_are_no_arrays(folder: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    make, words = RAW[name]
    craft(folder, make())
    refuse(folder, words)
    assert not (folder / "ran").exists()


def _replace(folder: Path, make: Callable[[Path], Any], name: str) -> None:
    (folder / name).unlink()
    make(folder / name)


@pytest.mark.parametrize("name", [FILE, "bundle.json"])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (os.mkfifo, "a directory, pipe or device"),
        (os.mkdir, "a directory, pipe or device|Is a directory"),
        (lambda path: path.symlink_to(path), "symbolic links"),
        (lambda path: path.symlink_to("/dev/zero"), "a directory, pipe or device"),
        (lambda path: (path.touch(), os.truncate(path, 10**12)), "at most .* MB are read"),
    ],
    ids=["pipe", "folder", "loop of links", "device", "sparse terabyte"],
)
def test_what_is_no_plain_file(folder: Path, make: Callable[[Path], Any], words: str, name: str) -> None:
    _replace(folder, make, name)
    refuse(folder, words)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda c: c["files"].update({"../../power.npz": c["files"].pop(FILE)}), "at files, expected"),
        (lambda c: c["regressors"].update({"time-../x": 0.5}), "at regressors, expected only"),
        (lambda c: c["host"].update(view_s=-1e-6), "at host.view_s, expected a number from 0"),
        (lambda c: c["host"].update(factor=10**400), "at host.factor, expected a number"),
        (lambda c: c["weights"].update(chain_gap_s=1e300), "at weights.chain_gap_s"),
        (lambda c: c["intervals"].update(any_kind=1e6), "at intervals.any_kind"),
        (lambda c: c["rate_power"]["watts"].__setitem__(0, -1.0), r"at rate_power.watts\[0\]"),
        (lambda c: c["regressors"].update(power=5.0), "at regressors.power, expected a number from 0 to 1"),
        (lambda c: c["device"]["sm_count"].update(value=10**400), "sm_count' must be a positive number"),
        (lambda c: c["info"].update(name=["a"] * 10**5), "at info.name, expected a text"),
        (lambda c: c.update(schema_version=10**400), "at schema_version, expected a whole number"),
    ],
)
def test_content_that_no_predictor_means(folder: Path, edit: Callable[[dict[str, Any]], Any], words: str) -> None:
    craft(folder, (folder / FILE).read_bytes(), edit)
    refuse(folder, words)


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_answers_beyond_any_number_are_refused(folder: Path) -> None:
    from tests.predictor.test_bundle import TREE

    with np.load(folder / FILE) as stored:
        arrays = dict(stored)
    arrays["trees.leaf"] = np.full_like(arrays["trees.leaf"], 3e38)
    craft(folder, pack(arrays))
    with pytest.raises(Exception, match="answers beyond a factor of"):
        load_bundle(folder).predict(TREE)
