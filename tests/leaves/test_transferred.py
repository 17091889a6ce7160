"""Leaves on another device: roofs carry the time, process and memory the joules, the cap and the clock both."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_model import LeafModel
from irene.leaves.leaf_table import LeafTable, make_table
from irene.leaves.transferred import TransferredLeaves, at_clock
from irene.primitives.call import Call, TensorSpec

if TYPE_CHECKING:
    from irene.predictor.predictor import Predictor

H200 = load_device("h200")


def _tensor(*shape: int, weight: bool = False) -> TensorSpec:
    strides = np.cumprod([1, *reversed(shape[1:])]).tolist()
    return TensorSpec(shape, tuple(reversed(strides)), "bfloat16", weight=weight)


def _linear(m: int, n: int, k: int) -> Call:
    return Call("aten.linear.default", (_tensor(m, k), _tensor(n, k, weight=True)), (), (_tensor(m, n),))


BIG, STREAM, TINY = _linear(8192, 8192, 8192), _linear(8, 16384, 16384), _linear(8, 64, 64)
VIEW = Call("aten.view.default", (_tensor(8, 8), (64,)), (), (_tensor(64),), is_view=True)


def _table(spec: DeviceSpec) -> LeafTable:
    calls = [BIG, STREAM, TINY, VIEW]
    return make_table(calls, ["bfloat16"] * 4, [True, True, False, False], spec)


@pytest.fixture
def measured(shipped: Predictor) -> LeafModel:
    assert isinstance(shipped.leaves, LeafModel)
    return shipped.leaves


def _on(measured: LeafModel, spec: DeviceSpec, clock: float = 1.0) -> TransferredLeaves:
    return TransferredLeaves(measured, H200, at_clock(spec, clock), clock)


def test_the_same_sheet_is_the_same_device(measured: LeafModel) -> None:
    table = _table(H200)
    here, there = _on(measured, H200), measured
    # Where no cap is met nothing is carried over. The clock of a big product is looked for in steps of a hundredth.
    np.testing.assert_allclose(here.predict_burst_s(table)[1:], there.predict_burst_s(table)[1:], rtol=1e-12)
    assert here.predict_burst_s(table)[0] == pytest.approx(there.predict_burst_s(table)[0], rel=0.03)
    values, expected = here.predict(table), there.predict(table)
    np.testing.assert_allclose(
        values.duration_s[1:], expected.duration_s[1:], rtol=0.02
    )  # a burst here, a window there
    np.testing.assert_allclose(values.power_w[1:], expected.power_w[1:], rtol=0.02)
    # The clock that keeps to the cap is looked for again: a big product finds nearly the same one.
    assert values.duration_s[0] == pytest.approx(expected.duration_s[0], rel=0.03)
    assert values.power_w[0] == pytest.approx(H200.power_cap_w, rel=0.03)


def test_each_roof_carries_what_it_bounds(measured: LeafModel) -> None:
    full = _on(measured, H200).predict_burst_s(_table(H200))[:3]
    narrow = replace(H200, name="narrow", hbm_bytes_per_s=H200.hbm_bytes_per_s / 4)
    slow = replace(H200, name="slow", peaks=tuple((dtype, peak / 4) for dtype, peak in H200.peaks))
    of_narrow, of_slow = (_on(measured, spec).predict_burst_s(_table(spec))[:3] / full for spec in (narrow, slow))
    # Kernels miss another ridge by more, or less: by the root of 1.5 at most.
    assert of_narrow[0] < 1.25 and 3.5 < of_narrow[1] < 4.1  # less the floor, which no roof carries
    assert 3.3 < of_slow[0] < 4.0 and of_slow[1] == pytest.approx(1.0, abs=0.15)
    assert of_narrow[2] == pytest.approx(1.0, abs=0.15)


def test_a_lower_cap_takes_time_and_saves_joules(measured: LeafModel) -> None:
    table = _table(H200)
    free, capped = (
        _on(measured, replace(H200, power_cap_w=cap_w)).predict(table) for cap_w in (H200.power_cap_w, 350.0)
    )
    assert capped.power_w.max() <= 350.0 and capped.power_w[0] > 330.0
    assert capped.duration_s[0] > 1.2 * free.duration_s[0] and capped.energy_j[0] < free.energy_j[0]
    assert capped.slowing[0] > free.slowing[0] > 1.0
    assert capped.duration_s[2] == free.duration_s[2]
    assert (capped.duration_s[3], capped.power_w[3], capped.slowing[3]) == (0.0, 0.0, 1.0)


def test_a_cap_below_what_the_lowest_clock_draws_still_holds(measured: LeafModel) -> None:
    values = _on(measured, replace(H200, power_cap_w=121.0)).predict(_table(H200))
    assert values.power_w.max() <= 121.0 and np.isfinite(values.duration_s).all()


def test_a_locked_clock_slows_arithmetic_and_saves_power(measured: LeafModel) -> None:
    full, half = (_on(measured, H200, clock) for clock in (1.0, 0.5))
    ratio = half.predict_burst_s(_table(half.spec))[:3] / full.predict_burst_s(_table(full.spec))[:3]
    # At the full clock the cap slows even a burst of big products, to some nine tenths.
    assert 1.75 < ratio[0] < 1.95 and ratio[1] < 1.1
    at_full, at_half = full.predict(_table(full.spec)), half.predict(_table(half.spec))
    assert (at_half.power_w[:3] < at_full.power_w[:3]).all() and at_half.slowing[0] == 1.0


def test_an_older_process_and_memory_cost_joules_and_no_time(measured: LeafModel) -> None:
    roomy = replace(H200, power_cap_w=5000.0)
    old = replace(roomy, process="TSMC N7", max_sm_clock_hz=1.41e9)
    far = replace(roomy, memory_kind="GDDR6")
    base, of_old, of_far = (_on(measured, spec).predict(_table(spec)) for spec in (roomy, old, far))
    assert of_old.energy_j[0] > 1.1 * base.energy_j[0] and of_far.energy_j[1] > 1.15 * base.energy_j[1]
    np.testing.assert_allclose(of_far.duration_s, base.duration_s)


def test_a_clock_below_what_the_cap_would_hold_is_what_the_measured_windows_showed(measured: LeafModel) -> None:
    """Large bfloat16 products ran at 1.464 GHz in a window (the median of 97 of data/h200)."""
    there = _table(H200)
    clock = _on(measured, H200)._clock_there(there, measured.predict(there), measured.predict_burst_s(there))
    assert clock[0] * H200.max_sm_clock_hz == pytest.approx(1.464e9, rel=0.08)
    assert clock[1:].tolist() == [1.0, 1.0, 1.0]


def test_small_tensor_cores_read_more_operands(measured: LeafModel) -> None:
    roomy = replace(H200, power_cap_w=5000.0)
    quarter = replace(roomy, sm_count=4 * H200.sm_count)  # the same peak, of four times as many
    base, of_quarter = (_on(measured, spec)._price(_table(spec))[1] for spec in (roomy, quarter))
    assert of_quarter.power_w[0] * of_quarter.duration_s[0] > 1.15 * base.power_w[0] * base.duration_s[0]


@pytest.mark.parametrize("device", ["t4", "v100-sxm2-32gb", "jetson-agx-orin-64gb"])
def test_attention_needs_no_peak_that_the_device_lacks(measured: LeafModel, device: str) -> None:
    """No TF32 on these: the H200's columns of attention ask for it, and are not asked of another device."""
    heads = TensorSpec((2, 4, 128, 64), (4 * 128 * 64, 128 * 64, 64, 1), "float16")
    call = Call("aten.scaled_dot_product_attention.default", (heads, heads, heads, None, 0.0, False), (), (heads,))
    spec = load_device(device)
    values = _on(measured, spec).predict(make_table([call], ["float16"], [False], spec))
    assert 0 < values.duration_s[0] < 1e-3 and 0 < values.power_w[0] <= spec.power_cap_w
