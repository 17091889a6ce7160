"""Several GPUs of one host: a device, how many of it, and the link between them; how long an exchange takes on it.

One TOML file a system in `systems/`, read strictly; how a library of collectives uses a link is data too
(`collective_libraries/`). Logic names no GPU: a device without a file has no link, and several of it are an error.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

from irene.errors import BadInput
from irene.hardware.spec import DeviceSpec
from irene.primitives.collectives import Exchange

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_SYSTEMS, _LIBRARIES = Path(__file__).parent / "systems", Path(__file__).parent / "collective_libraries"
_KEYS = {"name", "title", "devices", "library", "most_gpus", "link_bytes_per_s"}


@dataclass(frozen=True, slots=True)
class Protocol:
    """One way in which a library sends: seconds at its start and for each step, and shares of the bandwidth."""

    name: str
    start_s: float
    step_s: float
    share: float
    reducing_share: float


@dataclass(frozen=True, slots=True)
class Link:
    """What joins the GPUs of a host: bytes a second of one GPU in one direction, and what a library makes of them.

    `bus_bytes_per_s` is what reaches a ring at best, `line_bytes_per_s` what the wires carry. `citations` pairs each
    quantity with its source.
    """

    name: str
    title: str
    most_gpus: int
    line_bytes_per_s: float
    bus_bytes_per_s: float
    protocols: tuple[Protocol, ...]
    citations: tuple[tuple[str, str], ...]

    def exchange_s(self, exchange: Exchange) -> float:
        """Seconds of one exchange, by the quickest protocol: its start, the steps, bytes over bus bandwidth.

        >>> link = find_link("h200")
        >>> round(link.exchange_s(Exchange("all_reduce", 2, 2**26, 2.0**26, 2)) * 1e6)
        197
        """
        return min(
            p.start_s + exchange.steps * p.step_s
            + exchange.link_bytes / (self.bus_bytes_per_s * (p.reducing_share if exchange.reduces else p.share))
            for p in self.protocols
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class System:
    """`gpus` of one device on one host, joined by a link; None of a single one."""

    device: DeviceSpec
    gpus: int = 1
    link: Link | None = None


def load_system(device: DeviceSpec, gpus: int = 1) -> System:
    """So many GPUs of a device. Raises BadInput for a device without a known link, and for more than a host has.

    >>> from irene.hardware.devices import load_device
    >>> load_system(load_device("h200"), 2).link.name
    'hgx-h200'
    """
    if gpus == 1:
        return System(device)
    link = require_link(device)
    if gpus > link.most_gpus:
        raise BadInput(f"{link.title.partition(':')[0]} has at most {link.most_gpus} GPUs on a host, got {gpus}.")
    return System(device, gpus, link)


def require_link(device: DeviceSpec) -> Link:
    """The link between several of a device. Raises BadInput where none is known."""
    link = find_link(device.name)
    if link is None:
        known = ", ".join(sorted(_links()))
        raise BadInput(
            f"No link between several {device.name} is known, so that they cannot share a model; of {known}."
        )
    return link


def find_link(device: str) -> Link | None:
    """The link between several of a device, by the device's name; None where none is known."""
    return _links().get(device.strip().lower())


@cache
def _links() -> Mapping[str, Link]:
    """The links that come with irene, by device."""
    found: dict[str, Link] = {}
    for path in sorted(_SYSTEMS.glob("*.toml")):
        devices, link = read_system(path.read_text(encoding="utf-8"), path.name)
        found |= dict.fromkeys(devices, link)
    return found


def read_system(text: str, where: str = "system") -> tuple[tuple[str, ...], Link]:
    """The devices of a system and their link, from TOML. Raises BadInput for anything but exactly one."""
    try:
        data = tomllib.loads(text)
        if set(data) != _KEYS:
            raise ValueError(f"expected the keys {', '.join(sorted(_KEYS))}")
        quantities = {name: _quantity(data[name]) for name in ("most_gpus", "link_bytes_per_s")}
        share, protocols = _load_library(str(data["library"]))
        (most, _), (line_bytes_per_s, _) = quantities.values()
        citations = tuple((name, source) for name, (_, source) in quantities.items())
        link = Link(
            str(data["name"]), str(data["title"]), int(most), line_bytes_per_s, share * line_bytes_per_s, protocols,
            citations,
        )  # fmt: skip
        return tuple(map(str, data["devices"])), link
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError, OSError) as error:
        raise BadInput(f"{where}: no system of several GPUs ({type(error).__name__}: {error}).") from None


@cache
def _load_library(name: str) -> tuple[float, tuple[Protocol, ...]]:
    """The share of a link that reaches a ring, and the protocols of a library of collectives."""
    data = tomllib.loads((_LIBRARIES / f"{name}.toml").read_text(encoding="utf-8"))
    names = [field.name for field in fields(Protocol)]
    protocols = tuple(Protocol(**{key: entry[key] for key in names}) for entry in data["protocols"])
    return float(data["link_share"]), protocols


def _quantity(entry: Mapping[str, Any]) -> tuple[float, str]:
    value, source = entry["value"], entry["source"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError(f"expected a positive number, got {value!r}")
    if not isinstance(source, str) or not source.strip():
        raise ValueError("a quantity needs a source")
    return float(value), source
