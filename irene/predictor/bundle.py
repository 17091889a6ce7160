"""A predictor on disk: a folder with `bundle.json` and a file a regressor. Data, never pickles.

A regressor is a file of arrays (.npz): trees and Gaussian process. `bundle.json` (see `bundle_content`) has the digest
of each file, and its own; it is written last, so that what a kill leaves is refused.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

from irene.digests import OWN, digest_bytes, digest_object
from irene.errors import BadBundle, BadInput
from irene.fields import Field, open_fields
from irene.files import read_bytes, write_together
from irene.hardware.devices import load_device
from irene.leaves.learners.ensemble_files import SUFFIX, ensemble_to_bytes
from irene.predictor.bundle_content import (
    KEYS,
    predictor_from_content,
    predictor_to_content,
    read_regressor_names,
    regressors_of,
)  # fmt: skip
from irene.predictor.predictor import Predictor

SCHEMA_VERSION = 8
SHIPPED = Path(__file__).parent / "bundles"
CONTENT = "bundle.json"
_ADVICE = "Train it again with 'irene train', or leave --predictor out."
_MOST_BYTES = 64 * 2**20  # of one file: seven times a whole bundle


def save_bundle(predictor: Predictor, folder: str | Path) -> Path:
    """Write a predictor; the same predictor gives the same bytes. Returns the folder.

    Raises BadInput for a transferred one, NoSpace or CannotWrite; what was there stands then.
    """
    folder = Path(folder)
    files = {
        f"{name}{SUFFIX}": ensemble_to_bytes(regressor.ensemble) for name, regressor in regressors_of(predictor).items()
    }
    content = {
        "schema_version": SCHEMA_VERSION,
        "files": {file: digest_bytes(raw) for file, raw in files.items()},
        **predictor_to_content(predictor),
    }
    content[OWN] = digest_object(content)
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
    stale = _list_files(folder) - set(files)
    write_together({**{folder / file: raw for file, raw in files.items()}, folder / CONTENT: text})
    for file in stale:
        with suppress(OSError):
            (folder / file).unlink()
    return folder


def load_bundle(folder: str | Path) -> Predictor:
    """Read a predictor that `irene train` wrote. Raises BadBundle for anything but exactly that."""
    folder = Path(folder)
    path = folder / CONTENT if folder.is_dir() else folder
    content = _open_content(path)
    content.keys(("schema_version", "files", OWN, *KEYS))
    if content[OWN].text() != digest_object(content.value):
        content[OWN].fail("the digest of the content: it was damaged or edited")
    try:
        names = read_regressor_names(content)
        digests = content["files"].keys(f"{name}{SUFFIX}" for name in names)
        files = {name: _read_checked(path.parent / f"{name}{SUFFIX}", digests[f"{name}{SUFFIX}"]) for name in names}
        return predictor_from_content(content, files)
    except BadBundle:
        raise
    except (BadInput, ValueError) as error:  # of a spec sheet, or of arrays
        raise BadBundle(f"{path}: not a predictor bundle: {error} {_ADVICE}") from None


def has_bundle(device: str) -> bool:
    """Whether a predictor trained on rows of that device comes with irene."""
    return (SHIPPED / load_device(device).name / CONTENT).is_file()


def shipped_bundle(device: str) -> Path:
    """The folder of the predictor that comes with irene for a device. Raises UnknownName or BadBundle without one."""
    name = load_device(device).name
    folder = SHIPPED / name
    if not has_bundle(name):
        raise BadBundle(f"No predictor for {name} comes with irene: give one with --predictor, or use 'irene train'.")
    return folder


def _open_content(path: Path) -> Field:
    content = open_fields(path, "predictor bundle", BadBundle, _ADVICE)
    version = content["schema_version"]
    if version.whole() != SCHEMA_VERSION:
        advice = "Update irene to read it." if version.whole() > SCHEMA_VERSION else _ADVICE
        raise BadBundle(f"{path}: schema_version is {version.value}, this irene reads {SCHEMA_VERSION}. {advice}")
    return content


def _list_files(folder: Path) -> set[str]:
    """The files of the bundle that is in a folder, to be removed when another takes its place; none if it is no bundle.

    Nothing that lies there by chance is among them.
    """
    try:
        content = open_fields(folder / CONTENT, "predictor bundle", BadBundle)
        return {f"{name}{SUFFIX}" for name in read_regressor_names(content)} & set(content["files"].items())
    except BadBundle:
        return set()


def _read_checked(path: Path, digest: Field) -> bytes:
    raw = read_bytes(path, "regressor", BadBundle, _MOST_BYTES)
    if digest_bytes(raw) != digest.text():
        raise BadBundle(f"{path}: its checksum is not the one in {CONTENT}; the file is damaged. {_ADVICE}")
    return raw
