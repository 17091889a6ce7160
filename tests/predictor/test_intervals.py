"""Half-widths of intervals: the finite-sample quantile, its coverage, and what is done where errors are few."""

from __future__ import annotations

import math

import numpy as np
import pytest

from irene.predictor.intervals import FormError, Intervals, calibrate, conformal_half_width, form_half_width


@pytest.mark.parametrize(("count", "place"), [(1, 1), (9, 9), (10, 10), (19, 18), (99, 90), (100, 91)])
def test_the_finite_sample_quantile(count: int, place: int) -> None:
    """The ceil(0.9 (n + 1))-th smallest, signs ignored, and the largest where n is too small for that."""
    errors = [(-1) ** i * i / 100 for i in range(count, 0, -1)]
    assert conformal_half_width(errors) == pytest.approx(place / 100)


def test_it_covers_nine_in_ten() -> None:
    generator = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        errors = generator.standard_t(3, size=60)
        covered.append(np.abs(errors[30:]) <= conformal_half_width(errors[:30].tolist()))
    assert 0.88 < np.mean(covered) < 0.93  # 28 of 31 places: 0.903 expected


def test_groups_with_few_errors_fall_back_to_all() -> None:
    kinds = [("gemm", 0.1)] * 10 + [("softmax", 0.5)] * 9
    intervals = calibrate(kinds, [("eager", 0.2)] * 10)
    assert intervals.by_kind == {"gemm": 0.1}
    assert intervals.of_kind("gemm", "interpolated") == 0.1
    assert intervals.of_kind("softmax", "interpolated") == intervals.any_kind == 0.5
    assert intervals.of_regime("eager") == intervals.of_regime("host_bound") == 0.2


def test_without_errors_it_is_a_factor_of_two() -> None:
    intervals = calibrate([], [])
    assert intervals.of_regime("eager") == intervals.any_kind == math.log(2)


def test_outside_the_data_it_is_wider() -> None:
    intervals = Intervals({"gemm": 0.1}, 0.3, {}, 0.2, {}, 0.0)
    widths = [intervals.of_kind("gemm", p) for p in ("measured", "interpolated", "extrapolated", "transferred")]
    assert widths == [0.1, 0.1, 0.2, 0.2]
    assert intervals.of_kind("gemm", "fallback") == math.log(10)
    assert [intervals.of_kind("gemm", "extrapolated", far) for far in (0.5, 1, 3)] == pytest.approx([0.2, 0.2, 0.4])
    assert intervals.of_kind("gemm", "interpolated", 0.9) == 0.1
    assert Intervals({}, 3.0, {}, 0.2, {}, 0.0).of_kind("unknown", "fallback") == 3.0


def test_each_form_counts_alike_however_many_calls_it_has() -> None:
    """A hundred calls of one form say no more of the next form than one call does."""
    few = [[0.1 * form] for form in range(1, 20)]
    many = [[error] * (100 if error < 0.3 else 1) for (error,) in few]
    assert (
        form_half_width([many]) == form_half_width([few]) == conformal_half_width([0.1 * form for form in range(1, 20)])
    )
    assert form_half_width([[[0.1, -0.2]]]) == 0.2  # of one form, its largest error
    assert form_half_width([few, [[3.0]]]) == 3.0  # half of all, though one call


def test_kinds_of_few_forms_take_the_width_of_the_same_kernels_and_then_of_all() -> None:
    copies = [FormError("copy", "vector-pointwise", f"op {form}", 0.1) for form in range(10)]
    few = [FormError("fill", "vector-pointwise", "op", 0.3), FormError("sort", "vector-rowwise", "op", 2.0)]
    intervals = calibrate([], [], [*copies, *few * 50])
    assert intervals.by_form == {"copy": 0.1, "fill": 0.3}
    assert intervals.of_new_form("copy") == 0.1 and intervals.of_new_form("sort") == intervals.any_form == 2.0


def test_a_form_in_two_sets_of_kernels_is_two_forms() -> None:
    errors = [FormError("gemm", name, f"op {form}", 0.1) for name in ("half", "single") for form in range(5)]
    assert calibrate([], [], errors).by_form == {"gemm": 0.1} and calibrate([], [], errors[:9]).by_form == {}
    assert calibrate([], []).of_new_form("copy") == 0.0
