"""Kilowatt-hours, grams and money: the arithmetic, what is refused, and that nothing is assumed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from irene.errors import BadInput
from irene.reporting.footprint import Facility, footprint_of, load_carbon_intensities, read_facility

AMOUNT = st.floats(0, 1e9)


def test_by_hand() -> None:
    one_kwh = footprint_of(3.6e6, Facility(56, 0.25, 1.5))
    assert (one_kwh.site_energy_j, one_kwh.carbon_g, one_kwh.cost) == pytest.approx((5.4e6, 84.0, 0.375))


@given(AMOUNT, AMOUNT, st.floats(1, 3), st.integers(1, 1000))
def test_carbon_and_cost_grow_with_energy_and_pue(energy_j: float, price: float, pue: float, times: int) -> None:
    facility = Facility(price, price, pue)
    one, many = footprint_of(energy_j, facility), footprint_of(times * energy_j, facility)
    assert many.carbon_g == pytest.approx(times * (one.carbon_g or 0.0))
    assert many.cost == many.carbon_g
    assert one.site_energy_j >= energy_j


def test_what_was_not_asked_for_is_none() -> None:
    assert read_facility(None, None, None) is None
    only_price = read_facility(None, 0.25, None)
    assert only_price is not None
    assert footprint_of(1.0, only_price).carbon_g is None
    only_pue = read_facility(None, None, 1.2)
    assert only_pue is not None
    assert footprint_of(1.0, only_pue).cost is None


def test_a_country_brings_its_year_and_source() -> None:
    facility = read_facility("se", None, None)
    assert facility is not None
    assert facility.country == "Sweden"
    assert 0 < (facility.carbon_intensity_g_per_kwh or 0.0) < 100
    assert "2024" in facility.carbon_source and "Ember" in facility.carbon_source


def test_every_entry_of_the_table_is_plausible() -> None:
    for code, entry in load_carbon_intensities().items():
        assert len(code) == 2 and code.isupper()
        assert 10 <= entry["g_per_kwh"] <= 1000  # wind alone is about 11, hard coal alone about 1000
        assert 2020 <= entry["year"] <= 2026
        assert entry["name"] and entry["source"]


@pytest.mark.parametrize(
    ("carbon_intensity", "price", "pue", "words"),
    [
        ("XX", None, None, "neither a number of gCO2e/kWh nor a listed country"),
        ("-1", None, None, "--carbon-intensity must be a number of at least 0"),
        ("nan", None, None, "--carbon-intensity must be"),
        (None, -0.1, None, "--price must be"),
        (None, None, 0.9, "--pue must be a number of at least 1"),
        (None, None, float("inf"), "--pue must be"),
    ],
)
def test_refused(carbon_intensity: str | None, price: float | None, pue: float | None, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        read_facility(carbon_intensity, price, pue)
