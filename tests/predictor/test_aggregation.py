"""Weights stay near one, are found where they were planted, and count each family alike."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from irene.hardware.devices import load_device
from irene.leaves.leaf_model import LeafValues
from irene.leaves.leaf_table import make_table
from irene.predictor.aggregation import (
    NEUTRAL,
    TAU,
    WEIGHT_FEATURES,
    AggregationCase,
    Weights,
    fit_weights,
    weight_features,
)
from irene.primitives.call import Call
from tests.predictor.made_law import attention, gelu, grouped, linear, tensor

SPEC = load_device("h200")
N = len(WEIGHT_FEATURES)


def planted_cases(weights: Weights, families: int = 6, each: int = 12) -> list[AggregationCase]:
    generator = np.random.default_rng(0)
    cases = []
    for number in range(families * each):
        features = generator.integers(0, 2, (2, N)).astype(float)
        counts = generator.integers(1, 20, 2).astype(float)
        energy_j, duration_s = generator.uniform(0.1, 1, 2), generator.uniform(1e-4, 1e-3, 2)
        measured_j = counts * weights.of_energy(features) @ energy_j
        measured_s = counts * weights.of_duration(features) @ duration_s
        family = f"family {number % families}"
        cases.append(
            AggregationCase(
                features, counts, np.zeros(len(counts)), energy_j, duration_s, measured_j, measured_s, family
            )
        )
    return cases


def test_planted_weights_are_recovered() -> None:
    """But for the shrinkage: what is left of the planted deviation from one is below 40 %, for either target."""
    planted = Weights(
        (0.6, -0.5, 0.3, 0.0, 0.2, -0.3, 0.4, 0.2, -0.1, 0.3, -0.2),
        (-0.4, 0.5, 0.0, 0.2, -0.2, 0.3, -0.3, 0.1, 0.2, -0.2, 0.1),
    )
    cases = planted_cases(planted)
    found, features = fit_weights(cases, 120.0), np.concatenate([case.features for case in cases])
    for name in ("of_energy", "of_duration"):
        expected, got = (getattr(weights, name)(features) for weights in (planted, found))
        assert np.abs(got - expected).mean() < 0.4 * np.abs(expected - 1.0).mean()


def test_neutral_is_the_plain_sum() -> None:
    features = np.random.default_rng(0).normal(size=(50, N))
    assert (NEUTRAL.of_energy(features) == 1.0).all() and (NEUTRAL.of_duration(features) == 1.0).all()
    assert fit_weights([], 120.0) == NEUTRAL
    np.testing.assert_allclose(fit_weights(planted_cases(NEUTRAL), 120.0).energy, 0.0, atol=1e-9)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2 * N, max_size=2 * N))
def test_weights_stay_near_one(numbers: list[float]) -> None:
    weights = Weights(tuple(numbers[:N]), tuple(numbers[N:])).of_energy(np.eye(N))
    assert (weights >= 1 - 1 / TAU).all() and (weights <= 1 + 1 / TAU).all()


def test_families_count_alike() -> None:
    """One family of forty cases and one of four want opposite weights: neither wins by its number."""
    ones = np.ones((1, N))
    small, large = (
        AggregationCase(ones, np.ones(1), np.zeros(1), np.ones(1), np.ones(1), measured, measured, family)
        for measured, family in ((0.8, "small"), (1.25, "large"))
    )
    found = fit_weights([small] * 4 + [large] * 40, 120.0)
    assert found.of_energy(ones)[0] == pytest.approx(1.0, abs=0.03)
    crowd = [dataclasses.replace(case, family="one") for case in [small] * 4 + [large] * 40]
    assert fit_weights(crowd, 120.0).of_energy(ones)[0] > 1.1


def test_waiting_for_the_host_teaches_no_weight() -> None:
    """Of trees that take the host twice as long as the GPU, time and energy of the wait are not the leaves'."""
    waiting = [
        dataclasses.replace(
            case, issue_s=2 * case.measured_duration_s, measured_duration_s=2 * case.measured_duration_s,
            measured_energy_j=case.measured_energy_j + 120.0 * case.measured_duration_s,
        )
        for case in planted_cases(NEUTRAL)
    ]  # fmt: skip
    found = fit_weights(waiting, 120.0)
    np.testing.assert_allclose(found.of_energy(np.eye(N)), 1.0, atol=0.01)
    np.testing.assert_allclose(found.of_duration(np.eye(N)), 1.0, atol=0.01)
    forgotten = [dataclasses.replace(case, issue_s=0.0) for case in waiting]
    assert fit_weights(forgotten, 120.0).of_duration(np.eye(N)).mean() > 1.05


def test_features_of_leaves() -> None:
    x, weight = tensor((4, 64, 100)), tensor((64, 64, 3), weight=True)
    convolution = Call("aten.conv1d.default", (x, weight, None, (1,), (1,), (1,), 1), (), (x,))
    calls = [
        linear(64, 64, 64), linear(64, 64, 64, "float32"), attention(128), gelu(8, 8), gelu(8192, 8192), grouped(16),
        convolution,
    ]  # fmt: skip
    table = make_table(calls, [call.outputs[0].dtype for call in calls], [False] * len(calls), SPEC)
    slowing = np.array([1.0, 1.1, 1.0, 1.0, 1.0, 1.0, 1.0])
    alone = LeafValues(np.array([2e-6, 1e-3, 64e-6, 4e-6, 1e-4, 1e-4, 1e-4]), np.full(7, 500.0), slowing)
    features = weight_features(table, alone, "eager")
    rows = [dict(zip(WEIGHT_FEATURES, row, strict=True)) for row in features.tolist()]
    on = [sorted(name for name, value in row.items() if value == 1.0) for row in rows]
    assert on == [
        ["is_eager", "is_gemm"], ["is_eager", "is_gemm_float32", "is_slowed"], ["is_attention", "is_eager"],
        ["is_eager", "is_vector", "is_vector_in_l2", "is_vector_short"], ["is_eager", "is_vector"],
        ["is_eager", "is_gemm", "is_grouped"], ["is_convolution", "is_eager", "is_gemm"],
    ]  # fmt: skip
    assert [row["log2_duration"] for row in rows[:4]] == pytest.approx([0.1, 0.1 * np.log2(1000), 0.6, 0.2])
    is_eager = WEIGHT_FEATURES.index("is_eager")
    assert not weight_features(table, alone, "cuda_graph")[:, is_eager].any()


def test_one_outlier_does_not_bend_the_others() -> None:
    """Ten families agree on a tenth more; one, wrong by a factor of two, moves them by less than a hundredth."""
    ones = np.ones((1, N))
    cases = [
        AggregationCase(ones, np.ones(1), np.zeros(1), np.ones(1), np.ones(1), measured, measured, str(number))
        for number, measured in enumerate([1.1] * 10 + [2.0])
    ]
    agreed, bent = (fit_weights(some, 120.0).of_energy(ones)[0] for some in (cases[:10], cases))
    assert bent == pytest.approx(agreed, abs=0.02)
