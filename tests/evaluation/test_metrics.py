"""Metrics against numbers worked out by hand."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irene.evaluation.metrics import (
    absolute_percentage_errors,
    coverage_pct,
    family_mean_mape_pct,
    mape_pct,
    median_ape_pct,
    p90_ape_pct,
    worst_ape_pct,
)

ERRORS = [10.0, 20.0, 30.0, 100.0]


def test_percentage_of_the_measured_value_not_of_the_predicted() -> None:
    assert absolute_percentage_errors([4.0, 10.0, 2.0], [5.0, 9.0, 2.0]).tolist() == [25.0, 10.0, 0.0]


def test_averages() -> None:
    assert mape_pct(ERRORS) == 40.0
    assert median_ape_pct(ERRORS) == 25.0
    assert p90_ape_pct(ERRORS) == pytest.approx(30 + 0.7 * 70)
    assert worst_ape_pct(ERRORS) == 100.0


def test_family_mean_weighs_families_not_cases() -> None:
    families = ["bert", "bert", "bert", "t5"]
    assert family_mean_mape_pct(ERRORS, families) == (20.0 + 100.0) / 2
    assert family_mean_mape_pct(ERRORS, families) != mape_pct(ERRORS)
    series = pd.Series(families, index=[7, 3, 5, 1])  # a frame's index must not re-order anything
    assert family_mean_mape_pct(ERRORS, series) == 60.0


def test_family_mean_is_a_mean_over_families_too() -> None:
    families = ["bert", "gpt2", "gpt2", "t5"]  # of two families mean and median would agree
    assert family_mean_mape_pct([1.0, 2.0, 4.0, 11.0], families) == (1.0 + 3.0 + 11.0) / 3


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20), st.permutations(range(20)))
def test_order_changes_nothing_and_averages_lie_between(errors: list[float], order: list[int]) -> None:
    families = [f"f{i % 3}" for i in range(len(errors))]
    shuffled = [i for i in order if i < len(errors)]
    mean = family_mean_mape_pct(errors, families)
    assert family_mean_mape_pct([errors[i] for i in shuffled], [families[i] for i in shuffled]) == pytest.approx(mean)
    assert min(errors) * (1 - 1e-9) <= mean <= worst_ape_pct(errors) * (1 + 1e-9)
    assert median_ape_pct(errors) <= p90_ape_pct(errors) * (1 + 1e-9)


def test_coverage_counts_the_ends() -> None:
    assert coverage_pct([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 3.5, 5.0], [1.0, 2.0, 4.0, 6.0]) == 50.0
    with pytest.raises(ValueError, match="low <= high"):
        coverage_pct([1.0], [2.0], [1.0])
    with pytest.raises(ValueError, match="low <= high"):
        coverage_pct([1.0], [float("nan")], [1.0])


@pytest.mark.parametrize(
    ("measured", "predicted"), [([0.0], [1.0]), ([1.0], [float("nan")]), ([float("nan")], [1.0]), ([1.0, 2.0], [1.0])]
)
def test_no_error_is_made_up(measured: list[float], predicted: list[float]) -> None:
    with pytest.raises(ValueError, match="must be|expected"):
        absolute_percentage_errors(measured, predicted)


def test_an_average_of_nothing_is_refused() -> None:
    for average in (mape_pct, median_ape_pct, p90_ape_pct, worst_ape_pct):
        with pytest.raises(ValueError, match="no cases"):
            average([])
    with pytest.raises(ValueError, match="finite"):
        mape_pct([1.0, float("nan")])
