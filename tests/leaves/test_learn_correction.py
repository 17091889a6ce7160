"""A few points of a made device: what they say of time and joules holds for calls that were not measured."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.leaves.correction import LeafCorrection
from irene.leaves.leaf_model import LeafModel
from irene.leaves.leaf_table import LeafTable, make_table
from irene.leaves.learn_correction import Points, learn_correction
from irene.leaves.residual import COLUMNS, MOST_LOG, fit_residual, see_calls
from irene.leaves.transferred import TransferredLeaves
from irene.primitives.call import Call, TensorSpec

if TYPE_CHECKING:
    from irene.predictor.predictor import Predictor

SHEET = load_device("a100-sxm-80gb")
REALLY = replace(
    SHEET, hbm_bytes_per_s=0.7 * SHEET.hbm_bytes_per_s, peaks=tuple((d, 0.8 * p) for d, p in SHEET.peaks),
    power_cap_w=330.0, kernel_floor_s=4e-6,
)  # fmt: skip


def _dense(*shape: int, weight: bool = False) -> TensorSpec:
    strides = np.cumprod([1, *reversed(shape[1:])]).tolist()
    return TensorSpec(shape, tuple(reversed(strides)), "bfloat16", weight=weight)


def _linear(m: int, n: int, k: int) -> Call:
    return Call("aten.linear.default", (_dense(m, k), _dense(n, k, weight=True)), (), (_dense(m, n),))


def _gelu(rows: int, width: int) -> Call:
    return Call("aten.gelu.default", (_dense(rows, width),), (), (_dense(rows, width),))


def _draw(count: int, seed: int) -> LeafTable:
    rng = np.random.default_rng(seed)
    sizes = 64 * np.exp2(rng.uniform(0, 7, (count, 3))).astype(int)
    calls = [_gelu(m, k) if at % 4 == 0 else _linear(m, n, k) for at, (m, n, k) in enumerate(sizes.tolist())]
    return make_table(calls, ["bfloat16"] * count, [False] * count, SHEET)


@pytest.fixture
def leaves(shipped: Predictor) -> TransferredLeaves:
    assert isinstance(shipped.leaves, LeafModel)
    return TransferredLeaves(shipped.leaves, shipped.spec, SHEET)


def _measured(leaves: TransferredLeaves, table: LeafTable, joules: float = 1.25) -> Points:
    """What a card with other roofs, another floor and another cap would show, that draws more for the same work."""
    card = replace(leaves, spec=REALLY, correction=LeafCorrection(joules_log=float(np.log(joules))))
    there = replace(table, spec=REALLY)
    values = card.predict(there)
    return Points(table, card.predict_burst_s(there), values.duration_s, values.energy_j)


def _errors(leaves: TransferredLeaves, truth: Points) -> tuple[float, float]:
    values = leaves.predict(truth.table)
    return tuple(
        float(np.abs(predicted / measured - 1.0).mean())
        for predicted, measured in ((values.duration_s, truth.duration_s), (values.energy_j, truth.energy_j))
    )  # type: ignore[return-value]


def test_more_points_know_more_of_calls_that_were_not_measured(leaves: TransferredLeaves) -> None:
    unseen = _measured(leaves, _draw(60, seed=7))
    errors = [_errors(leaves, unseen)]
    for count in (8, 40):
        correction = learn_correction(leaves, _measured(leaves, _draw(count, seed=1)))
        errors.append(_errors(replace(leaves, correction=correction), unseen))
    for zero, eight, forty in zip(*errors, strict=True):
        assert forty < 0.9 * eight < 0.5 * zero
        assert forty < 0.06


def test_time_alone_corrects_time_alone(leaves: TransferredLeaves) -> None:
    points = _measured(leaves, _draw(40, seed=1))
    unknown = np.full(40, np.nan)
    of_bursts = learn_correction(leaves, replace(points, duration_s=unknown, energy_j=unknown))
    assert of_bursts.joules is None and of_bursts.time is not None
    before, after = (_errors(one, points)[0] for one in (leaves, replace(leaves, correction=of_bursts)))
    assert after < 0.5 * before
    assert learn_correction(leaves, replace(points, burst_s=unknown, energy_j=unknown)).time is not None


def test_a_point_far_away_says_little_and_none_says_more_than_it_may(leaves: TransferredLeaves) -> None:
    table = _draw(8, seed=3)
    seen = see_calls(table, np.ones(8))
    assert seen.shape == (8, len(COLUMNS)) and np.isfinite(seen).all()
    kernels = ["gemm-half"] * 8
    residual = fit_residual(seen, kernels, np.full(8, 9.0))
    assert (residual.predict(seen, kernels) == MOST_LOG).all()
    of_one = fit_residual(seen[:1], kernels[:1], np.array([0.3]))
    near, elsewhere = of_one.predict(seen[:1], kernels[:1])[0], of_one.predict(seen[:1], ["vector-rowwise"])[0]
    assert 0.2 < near < 0.3 and 0.05 < elsewhere < near
