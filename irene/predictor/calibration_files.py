"""A calibration on disk: a folder with `calibration.json`, `residuals.npz` and the rows that it was learned from.

Data, never pickles. It says what was learned beside a predictor that was trained elsewhere, and names that one by its
digest: with another one it would say something else, and is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from irene.arrays import FloatArray
from irene.digests import OWN, digest_bytes, digest_object
from irene.errors import BadBundle, BadInput
from irene.fields import Field, open_fields
from irene.files import read_bytes, write_together
from irene.hardware.devices import DEFAULT_DEVICE, remember_device
from irene.hardware.spec import differing_numbers, spec_from_tables, spec_to_tables
from irene.leaves.correction import LeafCorrection
from irene.leaves.kernel_sets import REGRESSORS
from irene.leaves.learners.array_files import arrays_from_bytes, arrays_to_bytes
from irene.leaves.residual import COLUMNS, LogResidual
from irene.predictor.bundle import CONTENT as BUNDLE
from irene.predictor.bundle import shipped_bundle
from irene.predictor.calibration import Calibration

CONTENT, ARRAYS = "calibration.json", "residuals.npz"
SCHEMA_VERSION = 1
_ADVICE = "Make it again with 'irene calibrate' and the same --output: what is measured already is not measured anew."
_OPTIONAL = {"sm_clock_hz": (1e7, 1e10), "power_cap_w": (0.1, 1e4), "idle_w": (0.1, 1e4)}
"""Numbers that may be null, each with the least and the most that it can be."""
_COUNTS = ("points", "metered", "models")
_KEYS = ("schema_version", "source", "device", *_OPTIONAL, *_COUNTS, "joules_log", "columns", "kernels", "arrays", OWN)
_RESIDUALS = ("time", "joules")
_MOST_POINTS, _MOST_LOG, _MOST_BYTES = 100_000, 5.0, 16 * 2**20


def is_calibration(path: Path) -> bool:
    """Whether a path is that of a calibration: its folder, or its `calibration.json`."""
    return (path / CONTENT).is_file() or path.name == CONTENT


def source_digest() -> str:
    """The digest of the shipped predictor that calibrations are made with."""
    return open_fields(shipped_bundle(DEFAULT_DEVICE) / BUNDLE, "predictor bundle", BadBundle)[OWN].text()


def save_calibration(calibration: Calibration, folder: str | Path) -> Path:
    """Write a calibration; the same one gives the same bytes. Raises NoSpace or CannotWrite."""
    folder = Path(folder)
    residuals = {name: getattr(calibration.correction, name) for name in _RESIDUALS}
    arrays: dict[str, FloatArray] = {}
    for name, residual in residuals.items():
        if residual is not None:
            arrays |= {f"{name}_points": residual.points, f"{name}_coefficients": residual.coefficients}
    raw = arrays_to_bytes(arrays)
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "source": calibration.source,
        "device": spec_to_tables(calibration.spec),
        **{name: getattr(calibration, name) for name in _OPTIONAL},
        **{name: getattr(calibration, name) for name in _COUNTS},
        "joules_log": calibration.correction.joules_log,
        "columns": list(COLUMNS),
        "kernels": {name: list(residual.kernels) for name, residual in residuals.items() if residual is not None},
        "arrays": digest_bytes(raw),
    }
    content[OWN] = digest_object(content)
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    write_together({folder / ARRAYS: raw, folder / CONTENT: text})
    return folder


def load_calibration(path: str | Path) -> Calibration:
    """Read what `irene calibrate` wrote. Raises BadBundle for anything but exactly that, or of another predictor."""
    path = Path(path)
    path = path / CONTENT if path.is_dir() else path
    content = open_fields(path, "calibration", BadBundle, _ADVICE)
    if content["schema_version"].whole() != SCHEMA_VERSION:
        content["schema_version"].fail(f"{SCHEMA_VERSION}, which this irene reads")
    content.keys(_KEYS)
    if content[OWN].text() != digest_object(content.value):
        content[OWN].fail("the digest of the content: it was damaged or edited")
    if content["source"].text() != source_digest():
        content["source"].fail("the digest of the predictor that comes with this irene: it was made with another one")
    raw = read_bytes(path.parent / ARRAYS, "residuals", BadBundle, _MOST_BYTES)
    if digest_bytes(raw) != content["arrays"].text():
        raise BadBundle(f"{path.parent / ARRAYS}: its checksum is not the one in {CONTENT}; it is damaged. {_ADVICE}")
    try:
        return _read(content, arrays_from_bytes(raw))
    except BadBundle:
        raise
    except (BadInput, ValueError) as error:  # of a spec sheet, or of arrays
        raise BadBundle(f"{path}: not a calibration: {error} {_ADVICE}") from None


def _read(content: Field, arrays: dict[str, FloatArray]) -> Calibration:
    content["device"].items()
    spec = spec_from_tables(content["device"].value, f"{content.source}, device")
    different = differing_numbers(spec, remember_device(spec))
    if different:
        content["device"].fail(f"the spec sheet of {spec.name} that is known here", f"another: {different}")
    if [name.text() for name in content["columns"].list()] != list(COLUMNS):
        content["columns"].fail(f"those of this irene: {', '.join(COLUMNS)}")
    kernels = content["kernels"].keys((), _RESIDUALS).items()
    expected = {f"{name}_{part}" for name in kernels for part in ("points", "coefficients")}
    if set(arrays) != expected:
        raise ValueError(f"{ARRAYS} holds {', '.join(sorted(arrays)) or 'nothing'}, expected {sorted(expected)}")
    residuals = {
        name: _read_residual([kernel.text(among=REGRESSORS) for kernel in listed.list()], name, arrays)
        for name, listed in kernels.items()
    }
    optional = {
        name: None if content[name].value is None else content[name].number(*bounds)
        for name, bounds in _OPTIONAL.items()
    }
    return Calibration(
        spec=spec,
        **optional,
        correction=LeafCorrection(
            residuals.get("time"), residuals.get("joules"), content["joules_log"].number(-_MOST_LOG, _MOST_LOG)
        ),
        points=content["points"].whole(0, _MOST_POINTS),
        metered=content["metered"].whole(0, _MOST_POINTS),
        models=content["models"].whole(0, _MOST_POINTS),
        source=content["source"].text(),
    )


def _read_residual(kernels: list[str], name: str, arrays: dict[str, FloatArray]) -> LogResidual:
    points, coefficients = (arrays[f"{name}_{part}"] for part in ("points", "coefficients"))
    fits = points.shape == (len(kernels), len(COLUMNS)) and coefficients.shape == (len(kernels),)
    if not fits or not (np.isfinite(points).all() and np.isfinite(coefficients).all()):
        raise ValueError(f"the arrays of {name} are not finite numbers of {len(kernels)} points")
    return LogResidual(points.astype(np.float64), tuple(kernels), coefficients.astype(np.float64))
