"""Products in low precision have regressors, columns and ranges of their own, and no answer of another's."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.leaves.columns.low_precision import LOW_PRECISION_COLUMNS, low_precision
from irene.leaves.ideal_time import base_duration_s
from irene.leaves.kernel_sets import LOW_PRECISION, REGRESSORS
from irene.leaves.leaf_table import make_table
from irene.leaves.power.activity import RATES, RatePower
from irene.leaves.regressor import Regressor
from irene.predictor.domain import make_domain
from irene.predictor.predictor import Predictor
from irene.primitives.call import Call, TensorSpec
from irene.primitives.work import count_work
from tests.predictor.made_law import linear, tensor

SPEC = load_device("h200")


def fp8(m: int, n: int, k: int, scales: TensorSpec | None = None, fast: bool = False) -> Call:
    weight = TensorSpec((k, n), (1, k), "float8_e4m3fn", weight=True)
    one = tensor((), "float32")
    args = (tensor((m, k), "float8_e4m3fn"), weight, scales or one, one, None, None, "torch.bfloat16", fast)
    return Call("aten._scaled_mm.default", args, (), (tensor((m, n)),))


def int8(m: int, n: int, k: int) -> Call:
    weight = TensorSpec((k, n), (1, k), "int8", weight=True)
    return Call("aten._int_mm.default", (tensor((m, k), "int8"), weight), (), (tensor((m, n), "int32"),))


def packed(m: int, n: int, k: int, group: int = 128) -> Call:
    weight, scales = tensor((n // 8, k // 128, 32, 4), "int32", weight=True), tensor((k // group, n, 2), weight=True)
    return Call("aten._weight_int4pack_mm.default", (tensor((m, k)), weight, group, scales), (), (tensor((m, n)),))


def sparse(m: int, n: int, k: int) -> Call:
    weight = tensor((n, k * 9 // 16), weight=True)
    return Call("aten._cslt_sparse_mm.default", (weight, TensorSpec((k, m), (1, k), "bfloat16")), (), (tensor((n, m)),))


CALLS = {"gemm-fp8": fp8, "gemm-int8": int8, "gemm-packed": packed, "gemm-sparse": sparse}
DTYPES = {"gemm-fp8": "float8_e4m3fn", "gemm-int8": "int8"}


@pytest.mark.parametrize("name", CALLS)
def test_without_rows_they_are_priced_by_the_ideal_time_as_a_fallback(name: str, shipped: Predictor) -> None:
    call, dtype = CALLS[name](256, 1024, 1024), DTYPES.get(name, "bfloat16")
    table = make_table([call], [dtype], [False], SPEC)
    assert table.regressors == (name,) and name in LOW_PRECISION
    blind = _without(shipped)
    assert blind.leaves.predict_burst_s(table) == pytest.approx(np.maximum(table.base_s, table.least_s))
    estimate = blind.predict_primitives([call], [dtype], ["hot"])
    assert estimate.provenance == ("fallback",)
    assert estimate.high_j[0] / estimate.energy_j[0] == pytest.approx(10.0)


def _without(predictor: Predictor) -> Predictor:
    """A predictor that no row in low precision has taught, whatever the shipped one knows."""
    time: dict[str, Regressor] = {n: own for n, own in predictor.leaves.time.items() if n not in LOW_PRECISION}
    ranges = {n: own for n, own in predictor.domain.ranges.items() if n not in LOW_PRECISION}
    leaves = replace(predictor.leaves, time=time)
    return replace(predictor, leaves=leaves, domain=replace(predictor.domain, ranges=ranges))


def test_each_set_knows_the_range_of_its_own_rows_alone() -> None:
    enough = [fp8(16 * i, 1024, 1024) for i in range(1, 31)]
    few = [int8(32, 1024, 1024)]
    calls = [*enough, *few, linear(64, 1024, 1024)]
    dtypes = ["float8_e4m3fn"] * 30 + ["int8", "bfloat16"]
    table = make_table(calls, dtypes, [False] * 32, SPEC)
    domain = make_domain(table, table.take(np.zeros(32, dtype=bool)))
    assert set(domain.ranges) == {"gemm-fp8", "gemm"}, "a single row is too few for a fit"
    asked = [fp8(64, 1024, 1024), fp8(64, 32768, 8192), int8(32, 1024, 1024), packed(64, 1024, 1024)]
    tiers = domain.tier_of(make_table(asked, ["float8_e4m3fn"] * 2 + ["int8", "bfloat16"], [False] * 4, SPEC))
    assert tiers == ["interpolated", "extrapolated", "fallback", "fallback"]


def test_columns_tell_scales_groups_and_passes_over_the_weights() -> None:
    by_row, by_block = tensor((40, 1), "float32"), TensorSpec((40, 8), (1, 40), "float32")
    calls = [
        fp8(40, 64, 1024),
        fp8(40, 64, 1024, by_row, fast=True),
        fp8(40, 64, 1024, by_block),
        packed(40, 64, 1024, 32),
    ]
    rows = low_precision(calls, [""] * 4, np.ones(4), SPEC)
    columns = dict(zip(LOW_PRECISION_COLUMNS, rows.T.tolist(), strict=True))
    assert columns["is_scaled_by_row"] == [0, 1, 0, 0] and columns["is_scaled_by_block"] == [0, 0, 1, 0]
    assert columns["is_fast_accumulated"] == [0, 1, 0, 0] and columns["log2_group_size"] == [0, 0, 0, 5]
    assert columns["log2_row_passes"] == pytest.approx([math.log2(3)] * 4)


def test_peaks_are_those_of_their_dtype_and_packed_weights_are_dequantised_for_every_block_of_rows() -> None:
    half_s, fp8_s, int8_s = (
        base_duration_s(call(8192, 8192, 8192), dtype, SPEC) - SPEC.kernel_floor_s
        for call, dtype in ((linear, "bfloat16"), (fp8, "float8_e4m3fn"), (int8, "int8"))
    )
    assert half_s / fp8_s == pytest.approx(2.0, rel=1e-3) and half_s / int8_s == pytest.approx(2.0, rel=1e-3)
    one, block, next_block = (base_duration_s(packed(m, 4096, 4096), "bfloat16", SPEC) for m in (1, 16, 17))
    assert one == pytest.approx(block, rel=0.02) and next_block > 1.7 * block
    assert block > count_work(packed(16, 4096, 4096)).matmul_flop / SPEC.vector_flop_per_s


def test_an_operation_in_eight_bits_draws_as_half_of_one_in_sixteen() -> None:
    watts = dict.fromkeys(RATES, 0.0) | {"half_product_flop": 1.0, "float32_product_flop": 50.0}
    fitted = RatePower(tuple(watts.values()))
    tables = [
        make_table([call(2048, 2048, 2048)], [dtype], [False], SPEC)
        for call, dtype in ((linear, "bfloat16"), (fp8, "float8_e4m3fn"), (int8, "int8"))
    ]
    half_w, fp8_w, int8_w = (float(fitted.power_w(table, np.array([1e-4]))[0]) for table in tables)
    idle_w = SPEC.context_idle_power_w
    assert fp8_w == pytest.approx(int8_w) and fp8_w - idle_w == pytest.approx((half_w - idle_w) / 2, rel=1e-3)


def test_names_are_all_different() -> None:
    assert len(set(REGRESSORS)) == len(REGRESSORS) and set(LOW_PRECISION) < set(REGRESSORS)
