"""Which predictor answers for a device: one that was trained on it, one calibrated on it, or one carried over to it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from irene.errors import BadInput, UnknownName
from irene.hardware.devices import DEFAULT_DEVICE, load_device
from irene.hardware.spec import DeviceSpec, differing_numbers
from irene.predictor.bundle import CONTENT, has_bundle, load_bundle, shipped_bundle
from irene.predictor.calibration import Calibration, apply_calibration
from irene.predictor.calibration_files import CONTENT as CALIBRATION
from irene.predictor.calibration_files import is_calibration, load_calibration
from irene.predictor.card import with_card
from irene.predictor.predictor import Predictor
from irene.predictor.transfer import transfer


def find_predictor(
    predictor: str | Path | Predictor | None, device: str, sm_clock_hz: float | None = None, card_factor: float = 1.0
) -> Predictor:
    """The predictor of a device: `predictor` (a bundle, a calibration, or a loaded one), or what comes with irene.

    `card_factor` is what this board draws over what others do. Raises UnknownName for a predictor of another device,
    BadInput for one of another sheet or clock, BadBundle for none at all.
    """
    return with_card(_find(predictor, device, sm_clock_hz), card_factor)


def _find(predictor: str | Path | Predictor | None, device: str, sm_clock_hz: float | None) -> Predictor:
    spec = load_device(device)
    if predictor is None and not has_bundle(spec.name):
        return _transfer_once(shipped_bundle(DEFAULT_DEVICE), spec, sm_clock_hz)
    if isinstance(predictor, str | Path) and is_calibration(Path(predictor)):
        calibration, fitted = load_calibrated(Path(predictor))
        _require_device(calibration.spec, spec)
        if sm_clock_hz is not None and sm_clock_hz != calibration.sm_clock_hz:
            raise BadInput(
                f"{predictor} was calibrated at {_clock_in_words(calibration.sm_clock_hz)}, and "
                f"{_clock_in_words(sm_clock_hz)} was asked for. Calibrate there too, or leave --sm-clock-mhz out."
            )
        return fitted
    fitted = predictor if isinstance(predictor, Predictor) else load(Path(predictor or shipped_bundle(spec.name)))
    _require_device(fitted.spec, spec)
    return fitted if sm_clock_hz is None else transfer(fitted, spec, sm_clock_hz)


def load(folder: Path) -> Predictor:
    """Load each bundle once, and again when its file changes."""
    path = folder / CONTENT if folder.is_dir() else folder
    return _load_once(path, _changed_ns(path))


def load_calibrated(folder: Path) -> tuple[Calibration, Predictor]:
    """A calibration and the predictor that it makes, likewise."""
    path = folder / CALIBRATION if folder.is_dir() else folder
    return _load_calibrated_once(path, _changed_ns(path))


def load_shipped() -> Predictor:
    """The predictor that comes with irene for the device that was measured here."""
    return load(shipped_bundle(DEFAULT_DEVICE))


def _require_device(own: DeviceSpec, asked: DeviceSpec) -> None:
    if own.name != asked.name:
        raise UnknownName("device", asked.name, [own.name], hint="That predictor was trained for another device.")
    different = differing_numbers(asked, own)
    if different:
        raise BadInput(f"The predictor was trained with another spec sheet of {asked.name}: {different}.")


def _clock_in_words(sm_clock_hz: float | None) -> str:
    return "the clock that the board chooses" if sm_clock_hz is None else f"{sm_clock_hz / 1e6:g} MHz"


def _changed_ns(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0


@lru_cache(maxsize=16)
def _transfer_once(bundle: Path, spec: DeviceSpec, sm_clock_hz: float | None) -> Predictor:
    """What the bundle knows of its own device, carried over to one that nobody measured."""
    return transfer(load(bundle), spec, sm_clock_hz)


@lru_cache(maxsize=4)
def _load_once(path: Path, changed_ns: int) -> Predictor:
    return load_bundle(path)


@lru_cache(maxsize=4)
def _load_calibrated_once(path: Path, changed_ns: int) -> tuple[Calibration, Predictor]:
    calibration = load_calibration(path)
    return calibration, apply_calibration(load_shipped(), calibration)
