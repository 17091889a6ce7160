"""Joules of the GPU board as kilowatt-hours, grams of CO2 equivalents and money of a facility, only for what was asked.

    facility energy = board energy x PUE
    carbon = facility energy x carbon intensity
    cost = facility energy x price

PUE (power usage effectiveness, ISO/IEC 30134-2) is the energy of a whole data centre over that of its computers; 1 if
nothing is said, which leaves cooling and power supply out. No place is assumed: without a carbon intensity or a country
there are no grams. `carbon_intensity.toml` lists yearly means of countries with source and year.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from irene.errors import BadInput
from irene.units import KILOWATT_HOUR_J

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_TABLE = Path(__file__).parent / "carbon_intensity.toml"


@dataclass(frozen=True, slots=True)
class Facility:
    """What a kilowatt-hour means where the model runs; `None` is what nobody asked for.

    `country` is its name where the intensity is that of a country, `carbon_source` where the intensity is from.
    """

    carbon_intensity_g_per_kwh: float | None = None
    price_per_kwh: float | None = None
    pue: float = 1.0
    country: str = ""
    carbon_source: str = "given by the user"


@dataclass(frozen=True, slots=True)
class Footprint:
    """Energy, carbon and cost of some board energy at a facility; the cost is in the currency of the price."""

    site_energy_j: float
    carbon_g: float | None
    cost: float | None


def footprint_of(energy_j: float, facility: Facility) -> Footprint:
    """The footprint of board energy.

    >>> footprint_of(3.6e6, Facility(carbon_intensity_g_per_kwh=56, price_per_kwh=0.25, pue=1.2))
    Footprint(site_energy_j=4320000.0, carbon_g=67.2, cost=0.3)
    >>> footprint_of(3.6e6, Facility()).carbon_g is None
    True
    """
    site_energy_j = energy_j * facility.pue
    kwh = site_energy_j / KILOWATT_HOUR_J
    intensity, price = facility.carbon_intensity_g_per_kwh, facility.price_per_kwh
    return Footprint(
        site_energy_j,
        None if intensity is None else kwh * intensity,
        None if price is None else kwh * price,
    )


def read_facility(carbon_intensity: str | None, price: float | None, pue: float | None) -> Facility | None:
    """The facility that three options describe; `None` if none was given.

    `carbon_intensity` is a number of gCO2e/kWh or the two-letter code (ISO 3166) of a country in the table. Raises
    BadInput for numbers that cannot be and for a country that is not listed.

    >>> read_facility("56", None, None).carbon_intensity_g_per_kwh, read_facility("fr", None, None).country
    (56.0, 'France')
    >>> read_facility(None, None, None) is None
    True
    """
    if carbon_intensity is None and price is None and pue is None:
        return None
    _require_at_least("--price", price, 0.0)
    _require_at_least("--pue", pue, 1.0)
    ratio = 1.0 if pue is None else pue
    if carbon_intensity is None:
        return Facility(None, price, ratio)
    try:
        grams = float(carbon_intensity)
    except ValueError:
        country = _find_country(carbon_intensity)
        source = f"{country['name']} {country['year']}, {country['source']}"
        return Facility(float(country["g_per_kwh"]), price, ratio, str(country["name"]), source)
    _require_at_least("--carbon-intensity", grams, 0.0)
    return Facility(grams, price, ratio)


@cache
def load_carbon_intensities() -> dict[str, dict[str, Any]]:
    """The table: by upper-case country code, {name, g_per_kwh, year, source}."""
    table = tomllib.loads(_TABLE.read_text(encoding="utf-8"))
    source = str(table["source"])
    countries: Mapping[str, Mapping[str, Any]] = table["countries"]
    return {code: {**entry, "source": source} for code, entry in countries.items()}


def _find_country(code: str) -> dict[str, Any]:
    known = load_carbon_intensities()
    if code.upper() not in known:
        raise BadInput(
            f"--carbon-intensity {code!r} is neither a number of gCO2e/kWh nor a listed country; "
            f"these are: {', '.join(sorted(known))}."
        )
    return known[code.upper()]


def _require_at_least(option: str, value: float | None, least: float) -> None:
    if value is not None and not (math.isfinite(value) and value >= least):
        raise BadInput(f"{option} must be a number of at least {least:g}, got {value:g}.")
