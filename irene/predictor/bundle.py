"""A predictor on disk: a folder with `bundle.json` and two files a regressor. Data, never pickles.

Trees are in XGBoost's own format (.ubj, large ones compressed), smooth regressors arrays (.npz). The JSON is strict: a
newer schema, an unknown or a missing key at any level, a value of another type, or a file whose checksum differs is an
error.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn

from irene.errors import BadBundle, BadInput
from irene.hardware.spec import load_device
from irene.leaves.blend import Blend
from irene.leaves.blend_files import ROUGH_SUFFIX, SUFFIXES, blend_from_bytes, blend_to_bytes
from irene.leaves.leaf_model import LeafModel
from irene.leaves.leaf_table import REGRESSORS, matrix_names
from irene.leaves.own_power import OWN_POWER
from irene.leaves.power_features import power_names
from irene.leaves.rate_power import RATES, RatePower
from irene.predictor.aggregation import WEIGHT_FEATURES, Weights
from irene.predictor.domain import Domain, SizeRange
from irene.predictor.host_model import HostModel
from irene.predictor.intervals import Intervals
from irene.predictor.prediction import PredictorInfo
from irene.predictor.predictor import Predictor
from irene.predictor.runtime import TERMS, RuntimeModel

SCHEMA_VERSION = 6
SHIPPED = Path(__file__).parent / "bundles"
_TIME, _POWER = "time-", "power-"
_KEYS = (
    "schema_version", "info", "device", "regressors", "files", "features", "rate_power", "host", "weights", "runtime",
    "intervals", "domain",
)  # fmt: skip


def save_bundle(predictor: Predictor, folder: str | Path) -> Path:
    """Write a predictor; the same predictor gives the same bytes. Returns the folder. Raises BadInput if it cannot."""
    folder = Path(folder)
    regressors = _regressors(predictor.leaves)
    files = {file: raw for name, blend in regressors.items() for file, raw in blend_to_bytes(name, blend).items()}
    weights, domain = predictor.weights, predictor.domain
    content = {
        "schema_version": SCHEMA_VERSION,
        "info": asdict(predictor.info),
        "device": predictor.spec.name,
        "regressors": {name: blend.smooth_share for name, blend in regressors.items()},
        "files": {file: hashlib.sha256(raw).hexdigest() for file, raw in files.items()},
        "features": {name: list(_names_of(name)) for name in regressors},
        "rate_power": {"rates": list(RATES), "watts": list(predictor.leaves.rates.watts)},
        "host": asdict(predictor.host),
        "weights": {
            "features": list(WEIGHT_FEATURES), "energy": list(weights.energy), "duration": list(weights.duration),
            "chain_gap_s": weights.chain_gap_s,
        },
        "runtime": {
            "terms": list(TERMS), "coefficients": list(predictor.runtime.coefficients),
            "intercept": predictor.runtime.intercept, "throttled_power_w": predictor.runtime.throttled_power_w,
        },
        "intervals": asdict(predictor.intervals),
        "domain": {"metered": sorted(domain.metered), "ranges": asdict(domain)["ranges"]},
    }  # fmt: skip
    text = json.dumps(content, indent=1, sort_keys=True, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in (
            *folder.glob("*.ubj"),
            *folder.glob("*.ubj.gz"),
            *folder.glob("*.npz"),
        ):  # of a bundle that had other regressors
            stale.unlink()
        for file, raw in files.items():
            (folder / file).write_bytes(raw)
        (folder / "bundle.json").write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"Cannot write the bundle {folder}: {error.strerror or error}. Give another --output.") from None
    return folder


def load_bundle(folder: str | Path) -> Predictor:
    """Read a predictor that `irene train` wrote. Raises BadBundle for anything but exactly that."""
    folder = Path(folder)
    path = folder / "bundle.json" if folder.is_dir() else folder
    content = _read_json(path)
    version = content.get("schema_version")
    if type(version) is not int or version != SCHEMA_VERSION:
        newer = type(version) is int and version > SCHEMA_VERSION
        advice = "Update irene to read it." if newer else "Train it again with 'irene train'."
        raise BadBundle(f"{path}: schema_version is {version!r}, this irene reads {SCHEMA_VERSION}. {advice}")
    try:
        _require_keys(content, _KEYS, path, "the top")
        return _build(content, path)
    except BadBundle:
        raise
    except (KeyError, TypeError, ValueError, BadInput) as error:
        reason = " ".join(str(error).split())[:200]  # XGBoost's own messages carry a stack trace
        raise BadBundle(f"{path}: not a predictor bundle ({type(error).__name__}: {reason}). Train it again.") from None


def shipped_bundle(device: str) -> Path:
    """The folder of the predictor that comes with irene for a device. Raises UnknownName or BadBundle without one."""
    name = load_device(device).name
    folder = SHIPPED / name
    if not (folder / "bundle.json").is_file():
        raise BadBundle(f"No predictor for {name} comes with irene: give one with --predictor, or use 'irene train'.")
    return folder


def _build(content: dict[str, Any], path: Path) -> Predictor:
    weights, domain = content["weights"], content["domain"]
    _require_keys(weights, ("features", "energy", "duration", "chain_gap_s"), path, "weights")
    _require_keys(domain, ("metered", "ranges"), path, "domain")
    listed = content["regressors"]  # those with too few rows lack
    time = [name for name in REGRESSORS if f"{_TIME}{name}" in listed]
    power = [name for name in OWN_POWER if f"{_POWER}{name}" in listed]
    known = (*(_TIME + name for name in time), *(_POWER + name for name in power), "power", "stretch")
    _require_keys(listed, known, path, "regressors")
    shares = {name: _floats([share])[0] for name, share in _items(content["regressors"])}
    _require_keys(content["features"], shares, path, "features")
    rough = {f"{_TIME}{name}{ROUGH_SUFFIX}" for name in time} & set(content["files"])  # of those that were surveyed
    names = [f"{name}{suffix}" for name in shares for suffix in SUFFIXES]
    _require_keys(content["files"], [*names, *rough], path, "files")
    for name, columns in _items(content["features"]):
        if tuple(columns) != _names_of(name):
            _fail(path, f"its features of {name!r} are not those of this irene")
    if tuple(weights["features"]) != WEIGHT_FEATURES:
        _fail(path, "its weight features are not those of this irene")
    energy, duration = _floats(weights["energy"]), _floats(weights["duration"])
    if not len(energy) == len(duration) == len(WEIGHT_FEATURES):
        _fail(path, f"expected {len(WEIGHT_FEATURES)} weights of each kind, got {len(energy)} and {len(duration)}")
    spec = load_device(content["device"])
    raw = {file: _read_checked(path.parent / file, digest) for file, digest in _items(content["files"])}
    blends = {name: blend_from_bytes(name, raw, share, len(_names_of(name))) for name, share in shares.items()}
    host, intervals = content["host"], content["intervals"]
    return Predictor(
        info=PredictorInfo(**content["info"]),
        spec=spec,
        leaves=LeafModel(
            {name: blends[f"{_TIME}{name}"] for name in time},
            _rate_power(content["rate_power"], path),
            blends["power"],
            {name: blends[f"{_POWER}{name}"] for name in power},
            blends["stretch"],
            spec.context_idle_power_w,
            spec.power_cap_w,
        ),
        host=HostModel(**{name: _numbers(value) for name, value in _items(host)}),
        weights=Weights(energy, duration, _numbers(weights["chain_gap_s"])),
        runtime=_runtime(content["runtime"], path),
        intervals=Intervals(**{name: _numbers(value) for name, value in _items(intervals)}),
        domain=Domain(
            frozenset(map(str, domain["metered"])),
            {kind: {d: _size_range(b) for d, b in _items(by)} for kind, by in _items(domain["ranges"])},
        ),
    )


def _rate_power(content: Any, path: Path) -> RatePower:
    _require_keys(content, ("rates", "watts"), path, "rate_power")
    watts = _floats(content["watts"])
    if tuple(content["rates"]) != RATES or len(watts) != len(RATES) or min(watts) < 0:
        _fail(path, "its rates of power are not those of this irene")
    return RatePower(watts)


def _runtime(content: Any, path: Path) -> RuntimeModel:
    _require_keys(content, ("terms", "coefficients", "intercept", "throttled_power_w"), path, "runtime")
    coefficients = _floats(content["coefficients"])
    if tuple(content["terms"]) != TERMS or len(coefficients) != len(TERMS):
        _fail(path, "its runtime terms are not those of this irene")
    return RuntimeModel(_numbers(content["throttled_power_w"]), _numbers(content["intercept"]), coefficients)


def _require_keys(value: Any, keys: Iterable[str], path: Path, where: str) -> None:
    if not isinstance(value, dict):
        _fail(path, f"{where}: expected an object, got {type(value).__name__}")
    odd = sorted(set(value) ^ set(keys))
    if odd:
        _fail(path, f"{where}: keys missing or unknown: {', '.join(odd)}")


def _items(value: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise TypeError(f"expected an object, got {value!r}")
    return list(value.items())


def _numbers(value: Any) -> Any:
    """A number, or an object of numbers; anything else is a TypeError."""
    if isinstance(value, dict):
        return {key: _floats([item])[0] for key, item in _items(value)}
    return _floats([value])[0]


def _floats(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or not all(type(value) in (int, float) for value in values):
        raise TypeError(f"expected numbers, got {values!r}")
    return tuple(map(float, values))


def _size_range(bounds: Any) -> SizeRange:
    flop_low, flop_high, bytes_low, bytes_high = _floats(bounds)
    return flop_low, flop_high, bytes_low, bytes_high


def _regressors(leaves: LeafModel) -> dict[str, Blend]:
    time = {f"{_TIME}{name}": blend for name, blend in leaves.time.items()}
    own_power = {f"{_POWER}{name}": blend for name, blend in leaves.own_power.items()}
    return time | own_power | {"power": leaves.power, "stretch": leaves.stretch}


def _names_of(regressor: str) -> tuple[str, ...]:
    """The columns that a saved regressor was fitted on."""
    if regressor.startswith(_TIME):
        return matrix_names(regressor.removeprefix(_TIME))
    return OWN_POWER[regressor.removeprefix(_POWER)].names if regressor.startswith(_POWER) else power_names()


def _read_checked(path: Path, digest: str) -> bytes:
    try:
        raw = path.read_bytes()
    except OSError as error:
        _fail(path, f"cannot be read ({error.strerror or error})")
    if hashlib.sha256(raw).hexdigest() != digest:
        _fail(path, "its checksum is not the one in bundle.json; the file is damaged")
    return raw


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        _fail(path, f"cannot be read ({error.strerror or error}); expected a folder that 'irene train' wrote")
    except (ValueError, RecursionError) as error:
        _fail(path, f"not JSON ({error}); expected a folder that 'irene train' wrote")
    if not isinstance(content, dict):
        _fail(path, f"expected a JSON object, got {type(content).__name__}")
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _fail(path: Path, problem: str) -> NoReturn:
    raise BadBundle(f"{path}: {problem}. Train it again with 'irene train', or leave --predictor out.")
