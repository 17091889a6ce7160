"""Finding a device: by name, by another word for it, by the path of a spec sheet, or by what its driver calls it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Collection
from functools import cache
from pathlib import Path

from irene import default_device
from irene.errors import BadInput, UnknownName
from irene.files import read_bytes
from irene.hardware.spec import DeviceSpec, differing_numbers, read_spec
from irene.locks import hold_over_fork

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DEFAULT_DEVICE = default_device.DEFAULT_DEVICE
_SPECS = Path(__file__).parent / "specs"
_SUFFIX = ".toml"
_ALIASES = Path(__file__).parent / "aliases.toml"
# Sheets that were read, by the name that they give the device, with their path: what is said of a prediction later
# finds its sheet by that name, so one name must mean the same numbers to all threads of a process.
_READ: dict[str, tuple[DeviceSpec, str]] = {}
_reading = hold_over_fork(threading.Lock())


def list_devices() -> tuple[str, ...]:
    """Names of the devices whose spec sheets come with irene, sorted.

    >>> "h200" in list_devices()
    True
    """
    return tuple(sorted(path.stem for path in _SPECS.glob(f"*{_SUFFIX}")))


def load_device(name: str) -> DeviceSpec:
    """The spec sheet of a device: by name in any case, or by the path of a sheet (`my-gpu.toml`).

    Other words for it (`aliases.toml`, and what drivers call it) do too. Raises UnknownName with the nearest known
    name, BadInput for a word that may mean several devices, for a sheet that is none, or that takes a name that is
    known, of a shipped sheet or of one from another path, for other numbers.

    >>> load_device("H200").sm_count
    132
    """
    if name.endswith(_SUFFIX):
        return _read(Path(name))
    key = name.strip().lower()
    if key in _READ:
        return _READ[key][0]
    meant = _aliases().get(key, (key,))
    if len(meant) > 1:
        raise BadInput(f"{name!r} may mean several devices: choose one of {', '.join(meant)}.")
    (key,) = meant
    if key not in list_devices():
        hint = f"'irene devices' lists them; a sheet of your own is given by its path, {key or 'my-gpu'}{_SUFFIX}."
        raise UnknownName("device", name, list_devices(), hint)
    return _load_shipped(key)


def remember_device(spec: DeviceSpec) -> DeviceSpec:
    """The sheet that `load_device` finds by this one's name: a shipped one, one that was read, or else this one."""
    key = spec.name.strip().lower()
    return _load_shipped(key) if key in list_devices() else _READ.setdefault(key, (spec, ""))[0]


def device_of(driver_names: Collection[str]) -> DeviceSpec | None:
    """The shipped device that a driver knows by these names; None if there is none, or no single one."""
    found = [load_device(name) for name in list_devices()]
    fitting = [spec for spec in found if driver_names and set(driver_names) <= set(spec.driver_names)]
    return fitting[0] if len(fitting) == 1 else None


@cache
def _aliases() -> dict[str, tuple[str, ...]]:
    """Devices by other words for them, in lower case."""
    words = {word: tuple(names) for word, names in tomllib.loads(_ALIASES.read_text(encoding="utf-8")).items()}
    for device in list_devices():
        for name in _load_shipped(device).driver_names:
            words[name.lower()] = (device,)
    return words


@cache
def _load_shipped(key: str) -> DeviceSpec:
    return read_spec((_SPECS / f"{key}{_SUFFIX}").read_text(encoding="utf-8"), f"{key}{_SUFFIX}")


def _read(path: Path) -> DeviceSpec:
    raw = read_bytes(path, "spec sheet", BadInput)
    try:
        spec = read_spec(raw.decode("utf-8"), str(path))
    except UnicodeDecodeError as error:
        raise BadInput(f"{path} is not UTF-8 text ({error.reason}).") from None
    key = spec.name.strip().lower()
    if key in list_devices() and differing_numbers(spec, _load_shipped(key)):
        raise BadInput(
            f"{path}: its name {spec.name!r} is that of a shipped sheet with other numbers; give it another."
        )
    origin = str(path.resolve())
    with _reading:
        known, place = _READ.get(key, (spec, origin))
        if place != origin and differing_numbers(spec, known):  # the same file may have been edited
            raise BadInput(
                f"{path}: its name {spec.name!r} is that of another sheet with other numbers, read before; rename it."
            )
        _READ[key] = (spec, origin)
    return spec
