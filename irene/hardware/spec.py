"""Spec sheets of accelerators: one TOML file a device, every number with its source, read strictly.

A spec says what the vendor promises (peaks, bandwidth, power cap) and the few constants that were measured (idle
power). What a device really does with a model is learned elsewhere, from measurements.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields
from typing import Any

from irene.errors import BadInput, UnknownName
from irene.hardware.kernel_library import KernelLibrary, load_library
from irene.hardware.silicon import MEMORY_ENERGY, PROCESS_ENERGY
from irene.primitives.chip import Chip
from irene.quoting import quote

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TEXTS = ("name", "title", "vendor", "architecture", "process", "memory_kind", "kernel_library")
_KNOWN_TEXTS = {"process": PROCESS_ENERGY, "memory_kind": MEMORY_ENERGY}
_NAMES = "driver_names"


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """An accelerator's data sheet, in SI units.

    `peaks` pairs each dtype with the dense peak of its matrix products ('tf32': float32 data with TF32 on; 'float32':
    TF32 off); `vector_flop_per_s` is the peak of all other arithmetic. `idle_power_w` is the board asleep,
    `context_idle_power_w` with a context open and clocks up. `kernel_floor_s` is what any kernel costs, however small.
    `process` and `memory_kind` are those of `irene.hardware.silicon`.
    `kernel_library` names what the vendor's libraries do on it (`irene.hardware.kernel_library`); `driver_names` are
    the names by which its driver knows it. `citations` pairs each quantity with its source.
    """

    name: str
    title: str
    vendor: str
    architecture: str
    process: str
    memory_kind: str
    kernel_library: str
    driver_names: tuple[str, ...]
    sm_count: int
    threads_per_sm: int
    max_sm_clock_hz: float
    hbm_bytes_per_s: float
    memory_bytes: int
    l2_bytes: int
    power_cap_w: float
    idle_power_w: float
    context_idle_power_w: float
    kernel_floor_s: float
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

    @property
    def library(self) -> KernelLibrary:
        """What the vendor's libraries do on this device."""
        return load_library(self.kernel_library)

    @property
    def chip(self) -> Chip:
        """What the shapes of a call meet on this device."""
        return Chip(self.sm_count, self.threads_per_sm, self.library.attention_backends)

    def peak(self, dtype: str) -> float:
        """Dense peak of matrix products in `dtype`, FLOP/s. Raises UnknownName for a dtype without one.

        >>> from irene.hardware.devices import load_device
        >>> load_device("h200").peak("bfloat16") / 1e12
        989.4
        """
        for known, flop_per_s in self.peaks:
            if known == dtype:
                return flop_per_s
        hint = f"These have a peak on {self.name}: {', '.join(sorted(self.peak_flop_per_s))}."
        raise UnknownName("dtype", dtype, self.peak_flop_per_s, hint)


# What no accelerator is beyond: a wrong unit, or digits too many.
_PLAUSIBLE: dict[str, tuple[float, float]] = {
    "sm_count": (1, 2000), "threads_per_sm": (32, 8192), "max_sm_clock_hz": (1e8, 1e10), "hbm_bytes_per_s": (1e9, 1e14),
    "memory_bytes": (1e8, 1e13), "l2_bytes": (1e4, 1e10), "power_cap_w": (1, 1e4), "idle_power_w": (0.1, 1e3),
    "context_idle_power_w": (0.1, 1e3), "kernel_floor_s": (1e-8, 1e-3), "vector_flop_per_s": (1e9, 1e17),
    "peak_flop_per_s": (1e9, 1e18),
}  # fmt: skip
_INTEGERS = frozenset(f.name for f in fields(DeviceSpec) if f.type == "int")
_QUANTITIES = tuple(f.name for f in fields(DeviceSpec) if f.name not in (*_TEXTS, _NAMES, "peaks", "citations"))


def read_spec(text: str, where: str = "spec") -> DeviceSpec:
    """A spec sheet from TOML text; `where` names it in errors.

    Raises BadInput for broken TOML, unknown or missing keys, a value that is not a positive number, a missing source.
    """
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also whole numbers of more digits than Python reads, and [[[[...
        raise BadInput(f"{where} is not valid TOML: {error}.") from None
    return spec_from_tables(data, where)


def differing_numbers(spec: DeviceSpec, other: DeviceSpec) -> str:
    """What two sheets say differently, in words; empty where all that a prediction sees is equal."""
    names = [field.name for field in fields(DeviceSpec) if field.name not in ("title", "vendor", "citations")]
    pairs = [(name, getattr(spec, name), getattr(other, name)) for name in names]
    return "; ".join(f"{name} is {one} in one, {two} in the other" for name, one, two in pairs if one != two)


def spec_to_tables(spec: DeviceSpec) -> dict[str, Any]:
    """What a spec sheet's TOML says of a device, as dictionaries; notes are left out."""
    sources = spec.sources
    quantities = {key: {"value": getattr(spec, key), "source": sources[key]} for key in _QUANTITIES}
    peaks = {
        dtype: {"value": flop_per_s, "source": sources[f"peak_flop_per_s.{dtype}"]} for dtype, flop_per_s in spec.peaks
    }
    texts = {key: getattr(spec, key) for key in _TEXTS}
    return {**texts, _NAMES: list(spec.driver_names), **quantities, "peak_flop_per_s": peaks}


def spec_from_tables(data: dict[str, Any], where: str = "spec") -> DeviceSpec:
    """What `read_spec` makes of the same tables as TOML. Raises BadInput as it does."""
    expected = {*_TEXTS, _NAMES, *_QUANTITIES, "peak_flop_per_s"}
    _refuse_difference(set(data), expected, where)
    texts = {key: data[key] for key in _TEXTS}
    for key, value in texts.items():
        if not isinstance(value, str) or not value:
            raise BadInput(f"{where}: '{key}' must be a text, got {quote(value)}.")
        if key in _KNOWN_TEXTS and value not in _KNOWN_TEXTS[key]:
            raise BadInput(f"{where}: '{key}' must be one of {', '.join(_KNOWN_TEXTS[key])}, got {quote(value)}.")
    names = data[_NAMES]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) and name for name in names):
        raise BadInput(f"{where}: '{_NAMES}' must be a list of the driver's names for the device, got {quote(names)}.")
    sources: dict[str, str] = {}
    numbers: dict[str, float] = {}
    for key in _QUANTITIES:
        value, sources[key] = _read_quantity(data[key], key, where)
        if key in _INTEGERS and value != int(value):
            raise BadInput(f"{where}: '{key}' must be a whole number, got {quote(value)}.")
        numbers[key] = int(value) if key in _INTEGERS else float(value)
    peaks: dict[str, float] = {}
    if not isinstance(data["peak_flop_per_s"], dict) or not data["peak_flop_per_s"]:
        raise BadInput(f"{where}: 'peak_flop_per_s' must be a table with one entry a dtype.")
    for dtype, entry in data["peak_flop_per_s"].items():
        key = f"peak_flop_per_s.{dtype}"
        peaks[dtype], sources[key] = _read_quantity(entry, key, where)
    if not numbers["idle_power_w"] <= numbers["context_idle_power_w"] < numbers["power_cap_w"]:
        raise BadInput(f"{where}: 'idle_power_w' <= 'context_idle_power_w' < 'power_cap_w' must hold.")
    return DeviceSpec(
        **texts,
        driver_names=tuple(names),
        **numbers,  # type: ignore[arg-type]  # integers are integers: see _INTEGERS above
        peaks=tuple(sorted(peaks.items())),  # in whatever order a sheet or a bundle gives them
        citations=tuple(sorted(sources.items())),
    )


def _refuse_difference(got: set[str], expected: set[str], where: str) -> None:
    for problem, keys in (("unknown", got - expected), ("missing", expected - got)):
        if keys:
            listed = ", ".join(sorted(keys))
            raise BadInput(f"{where}: {problem} key(s) {listed}; expected {', '.join(sorted(expected))}.")


def _read_quantity(entry: Any, key: str, where: str) -> tuple[float, str]:
    """(value, source) of a table {value, source, note?}."""
    if not isinstance(entry, dict):
        raise BadInput(f"{where}: '{key}' must be a table with 'value' and 'source', got {quote(entry)}.")
    _refuse_difference(set(entry) - {"note"}, {"value", "source"}, f"{where}, '{key}'")
    value, source = entry["value"], entry["source"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= sys.float_info.max:
        raise BadInput(f"{where}: '{key}' must be a positive number, got {quote(value)}.")
    low, high = _PLAUSIBLE[key.partition(".")[0]]
    if not low <= value <= high:
        raise BadInput(f"{where}: '{key}' must be from {low:g} to {high:g} in SI units, got {quote(value)}.")
    if not isinstance(source, str) or not source.strip():
        raise BadInput(f"{where}: '{key}' needs a source: a datasheet with its address, or what measured it.")
    return float(value), source
