"""Spec sheets of accelerators: one TOML file a device, every number with its source, read strictly.

A spec says what the vendor promises (peaks, bandwidth, power cap) and the few constants that were measured (idle
power). What a device really does with a model is learned elsewhere, from measurements.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from irene.errors import BadInput, UnknownName

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SPECS = Path(__file__).parent / "specs"
_TEXTS = ("name", "title", "vendor", "architecture")
# Words that people use for a device, beside its name.
_ALIASES = {"nvidia h200": "h200", "h200-sxm": "h200", "nvidia-h200": "h200"}


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """An accelerator's data sheet, in SI units.

    `peaks` pairs each dtype with the dense peak of its matrix products ('tf32': float32 data with TF32 on; 'float32':
    TF32 off); `vector_flop_per_s` is the peak of all other arithmetic. `idle_power_w` is the board asleep,
    `context_idle_power_w` with a context open and clocks up. `citations` pairs each quantity with its source.
    """

    name: str
    title: str
    vendor: str
    architecture: str
    sm_count: int
    max_sm_clock_hz: float
    hbm_bytes_per_s: float
    memory_bytes: int
    l2_bytes: int
    power_cap_w: float
    idle_power_w: float
    context_idle_power_w: float
    vector_flop_per_s: float
    peaks: tuple[tuple[str, float], ...]
    citations: tuple[tuple[str, str], ...]

    @property
    def peak_flop_per_s(self) -> dict[str, float]:
        """Dense peak of matrix products by dtype, FLOP/s."""
        return dict(self.peaks)

    @property
    def sources(self) -> dict[str, str]:
        """Where each quantity comes from; a peak's key is 'peak_flop_per_s.bfloat16'."""
        return dict(self.citations)

    def peak(self, dtype: str) -> float:
        """Dense peak of matrix products in `dtype`, FLOP/s. Raises UnknownName for a dtype without one.

        >>> load_device("h200").peak("bfloat16") / 1e12
        989.4
        """
        for known, flop_per_s in self.peaks:
            if known == dtype:
                return flop_per_s
        hint = f"These have a peak on {self.name}: {', '.join(sorted(self.peak_flop_per_s))}."
        raise UnknownName("dtype", dtype, self.peak_flop_per_s, hint)


_INTEGERS = frozenset(f.name for f in fields(DeviceSpec) if f.type == "int")
_QUANTITIES = tuple(f.name for f in fields(DeviceSpec) if f.name not in (*_TEXTS, "peaks", "citations"))


def list_devices() -> tuple[str, ...]:
    """Names of the devices that have a spec sheet, sorted.

    >>> "h200" in list_devices()
    True
    """
    return tuple(sorted(path.stem for path in _SPECS.glob("*.toml")))


@cache
def load_device(name: str) -> DeviceSpec:
    """The spec sheet of a device, by name in any case. Raises UnknownName with the nearest known name.

    >>> load_device("H200").sm_count
    132
    """
    key = name.strip().lower()
    key = _ALIASES.get(key, key)
    if key not in list_devices():
        raise UnknownName("device", name, list_devices(), "'irene devices' lists them.")
    return read_spec((_SPECS / f"{key}.toml").read_text(encoding="utf-8"), f"{key}.toml")


@cache
def known_dtypes() -> tuple[str, ...]:
    """dtypes that at least one device has a peak for, sorted; 'tf32' is float32 data with TF32 on."""
    return tuple(sorted({dtype for name in list_devices() for dtype in load_device(name).peak_flop_per_s}))


def read_spec(text: str, where: str = "spec") -> DeviceSpec:
    """A spec sheet from TOML text; `where` names it in errors.

    Raises BadInput for broken TOML, unknown or missing keys, a value that is not a positive number, a missing source.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise BadInput(f"{where} is not valid TOML: {error}.") from None
    expected = {*_TEXTS, *_QUANTITIES, "peak_flop_per_s"}
    _refuse_difference(set(data), expected, where)
    texts = {key: data[key] for key in _TEXTS}
    for key, value in texts.items():
        if not isinstance(value, str) or not value:
            raise BadInput(f"{where}: '{key}' must be a text, got {value!r}.")
    sources: dict[str, str] = {}
    numbers: dict[str, float] = {}
    for key in _QUANTITIES:
        value, sources[key] = _read_quantity(data[key], key, where)
        if key in _INTEGERS and value != int(value):
            raise BadInput(f"{where}: '{key}' must be a whole number, got {value!r}.")
        numbers[key] = int(value) if key in _INTEGERS else float(value)
    peaks: dict[str, float] = {}
    if not isinstance(data["peak_flop_per_s"], dict) or not data["peak_flop_per_s"]:
        raise BadInput(f"{where}: 'peak_flop_per_s' must be a table with one entry a dtype.")
    for dtype, entry in data["peak_flop_per_s"].items():
        key = f"peak_flop_per_s.{dtype}"
        peaks[dtype], sources[key] = _read_quantity(entry, key, where)
    return DeviceSpec(
        **texts,
        **numbers,  # type: ignore[arg-type]  # integers are integers: see _INTEGERS above
        peaks=tuple(peaks.items()),
        citations=tuple(sources.items()),
    )


def _refuse_difference(got: set[str], expected: set[str], where: str) -> None:
    for problem, keys in (("unknown", got - expected), ("missing", expected - got)):
        if keys:
            listed = ", ".join(sorted(keys))
            raise BadInput(f"{where}: {problem} key(s) {listed}; expected {', '.join(sorted(expected))}.")


def _read_quantity(entry: Any, key: str, where: str) -> tuple[float, str]:
    """(value, source) of a table {value, source, note?}."""
    if not isinstance(entry, dict):
        raise BadInput(f"{where}: '{key}' must be a table with 'value' and 'source', got {entry!r}.")
    _refuse_difference(set(entry) - {"note"}, {"value", "source"}, f"{where}, '{key}'")
    value, source = entry["value"], entry["source"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise BadInput(f"{where}: '{key}' must be a positive number, got {value!r}.")
    if not isinstance(source, str) or not source.strip():
        raise BadInput(f"{where}: '{key}' needs a source: a datasheet with its address, or what measured it.")
    return float(value), source
