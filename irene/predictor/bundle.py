"""A predictor on disk: a folder with `bundle.json` and one XGBoost file (.ubj) a regressor. Data, never pickles.

The JSON is strict: a newer schema, an unknown or a missing key, or a regressor whose checksum differs is an error.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irene.errors import BadBundle
from irene.hardware.spec import load_device
from irene.predictor.aggregation import WEIGHT_FEATURES, Weights
from irene.predictor.domain import Domain
from irene.predictor.host_model import HostModel
from irene.predictor.intervals import Intervals
from irene.predictor.leaf_model import LeafModel
from irene.predictor.leaf_table import matrix_names
from irene.predictor.prediction import PredictorInfo
from irene.predictor.predictor import Predictor

if TYPE_CHECKING:
    import xgboost

SCHEMA_VERSION = 1
SHIPPED = Path(__file__).parent / "bundles"
_KEYS = {"schema_version", "info", "device", "regressors", "features", "host", "weights", "intervals", "domain"}


def save_bundle(predictor: Predictor, folder: str | Path) -> Path:
    """Write a predictor; the same predictor gives the same bytes. Returns the folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    checksums = {}
    for name, booster in _regressors(predictor.leaves).items():
        raw = bytes(booster.save_raw("ubj"))
        (folder / f"{name}.ubj").write_bytes(raw)
        checksums[name] = hashlib.sha256(raw).hexdigest()
    host, intervals, domain = predictor.host, predictor.intervals, predictor.domain
    content = {
        "schema_version": SCHEMA_VERSION,
        "info": {
            "name": predictor.info.name, "version": predictor.info.version, "trained_on": predictor.info.trained_on,
        },
        "device": predictor.spec.name,
        "regressors": checksums,
        "features": {family: list(matrix_names(family)) for family in predictor.leaves.time},
        "host": {
            "costs_s": dict(host.costs_s), "launch_s": host.launch_s, "view_s": host.view_s, "module_s": host.module_s,
            "factor": host.factor,
        },
        "weights": {
            "features": list(WEIGHT_FEATURES), "energy": list(predictor.weights.energy),
            "duration": list(predictor.weights.duration),
        },
        "intervals": {
            "by_kind": dict(intervals.by_kind), "any_kind": intervals.any_kind, "by_regime": dict(intervals.by_regime),
            "any_regime": intervals.any_regime,
        },
        "domain": {
            "metered": sorted(domain.metered), "dtypes": sorted(domain.dtypes),
            "ranges": {kind: list(bounds) for kind, bounds in domain.ranges.items()},
        },
    }  # fmt: skip
    (folder / "bundle.json").write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return folder


def load_bundle(folder: str | Path) -> Predictor:
    """Read a predictor that `irene train` wrote. Raises BadBundle for anything but exactly that."""
    folder = Path(folder)
    path = folder / "bundle.json" if folder.is_dir() else folder
    content = _read_json(path)
    version = content.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise BadBundle(
            f"{path}: schema_version {version!r}, this irene reads up to {SCHEMA_VERSION}. Upgrade irene, or train again."
        )
    if set(content) != _KEYS:
        odd = sorted(set(content) ^ _KEYS)
        raise BadBundle(f"{path}: keys missing or unknown: {', '.join(odd)}. Train it again with 'irene train'.")
    try:
        return _build(content, path.parent)
    except BadBundle:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadBundle(f"{path}: not a predictor bundle ({type(error).__name__}: {error}). Train it again.") from None


def shipped_bundle(device: str) -> Path:
    """The folder of the predictor that comes with irene for a device. Raises UnknownName or BadBundle without one."""
    name = load_device(device).name
    folder = SHIPPED / name
    if not (folder / "bundle.json").is_file():
        raise BadBundle(f"No predictor for {name} is shipped; give one with --predictor, or train one with 'irene train'.")
    return folder


def _build(content: dict[str, Any], folder: Path) -> Predictor:
    regressors = {name: _load_regressor(folder / f"{name}.ubj", digest) for name, digest in content["regressors"].items()}
    for family, names in content["features"].items():
        if tuple(names) != matrix_names(family):
            raise BadBundle(f"{folder}: its {family} features are not those of this irene. Train it again.")
    if content["weights"]["features"] != list(WEIGHT_FEATURES):
        raise BadBundle(f"{folder}: its weight features are not those of this irene. Train it again.")
    spec = load_device(content["device"])
    time = {family: regressors[f"time-{family}"] for family in content["features"]}
    leaves = LeafModel(time, regressors["power"], regressors["stretch"], spec.context_idle_power_w, spec.power_cap_w)
    domain = content["domain"]
    ranges = {kind: tuple(float(v) for v in bounds) for kind, bounds in domain["ranges"].items()}
    return Predictor(
        PredictorInfo(**content["info"]),
        spec,
        leaves,
        HostModel(**content["host"]),
        Weights(tuple(content["weights"]["energy"]), tuple(content["weights"]["duration"])),
        Intervals(**content["intervals"]),
        Domain(frozenset(domain["metered"]), frozenset(domain["dtypes"]), ranges),  # type: ignore[arg-type]
    )


def _regressors(leaves: LeafModel) -> dict[str, xgboost.Booster]:
    return {f"time-{family}": booster for family, booster in leaves.time.items()} | {
        "power": leaves.power,
        "stretch": leaves.stretch,
    }


def _load_regressor(path: Path, digest: str) -> xgboost.Booster:
    import xgboost

    try:
        raw = path.read_bytes()
    except OSError as error:
        raise BadBundle(f"{path}: cannot be read ({error.strerror}). Train the bundle again.") from None
    if hashlib.sha256(raw).hexdigest() != digest:
        raise BadBundle(f"{path}: its checksum is not the one in bundle.json; the file is damaged. Train it again.")
    booster = xgboost.Booster()
    booster.load_model(bytearray(raw))
    booster.set_param({"nthread": 1})
    return booster


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadBundle(f"{path}: cannot be read ({error.strerror}). Expected a folder that 'irene train' wrote.") from None
    except ValueError as error:
        raise BadBundle(f"{path}: not JSON ({error}). Expected a folder that 'irene train' wrote.") from None
    if not isinstance(content, dict):
        raise BadBundle(f"{path}: expected a JSON object, got {type(content).__name__}.")
    return content
