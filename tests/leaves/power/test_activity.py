"""Watts by rates: what is planted is found again, and more work a second never draws less."""

from __future__ import annotations

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.leaves.leaf_table import LeafTable, make_table
from irene.leaves.power.activity import RATES, RatePower, fit_rate_power
from irene.primitives.call import Call
from tests.predictor.made_law import attention, gelu, linear

SPEC = load_device("h200")
# A watt at a tera of each a second: 1.4 pJ for an operation of a product in 16 bits, 80 pJ for a byte.
PLANTED = dict(zip(RATES, (1.4, 2.8, 12.0, 1.0, 10.0, 9.0, 80.0, 0.0, 30.0), strict=True))


def table_of(calls: list[Call], dtype: str) -> LeafTable:
    return make_table(calls, [dtype] * len(calls), [False] * len(calls), SPEC)


def test_planted_watts_are_found_again() -> None:
    calls = [linear(2**m, 2**n, 1024) for m in range(4, 11) for n in range(8, 12)] + [gelu(2**n, 256) for n in range(9)]
    table = table_of(calls, "bfloat16")
    burst_s = table.base_s * np.linspace(1.5, 4.0, len(calls))
    watts = RatePower(tuple(PLANTED.values())).power_w(table, burst_s)
    assert watts.max() < 0.95 * SPEC.power_cap_w
    found = dict(zip(RATES, fit_rate_power(table, burst_s, watts, SPEC).watts, strict=True))
    for rate in ("half_product_flop", "bytes", "running"):
        assert found[rate] == pytest.approx(PLANTED[rate], rel=1e-6), rate
    assert found["tf32_product_flop"] == 0.0, "none was seen"


def test_power_is_idle_power_at_least_and_the_cap_at_most() -> None:
    fitted = RatePower(tuple(PLANTED.values()))
    table = table_of([gelu(1, 8), linear(8192, 8192, 8192)], "bfloat16")
    slow, fast = fitted.power_w(table, np.full(2, 10.0)), fitted.power_w(table, np.full(2, 1e-5))
    assert slow == pytest.approx(SPEC.context_idle_power_w + PLANTED["running"], rel=0.01)
    assert fast[1] == SPEC.power_cap_w


def test_windows_at_the_cap_say_nothing_of_rates() -> None:
    table = table_of([linear(8192, 8192, 8192)] * 3, "bfloat16")
    found = fit_rate_power(table, np.full(3, 2e-3), np.full(3, SPEC.power_cap_w), SPEC)
    assert found.watts == (0.0,) * len(RATES)


@pytest.mark.parametrize(("dtype", "rate"), [("bfloat16", "half"), ("tf32", "tf32"), ("float32", "float32")])
def test_products_and_attention_draw_by_their_own_rates(dtype: str, rate: str) -> None:
    call_dtype = "bfloat16" if dtype == "bfloat16" else "float32"
    calls = [linear(512, 512, 512, call_dtype), attention(512, dtype=call_dtype)]
    for which, name in enumerate((f"{rate}_product_flop", f"{rate}_attention_flop")):
        only = RatePower(tuple(float(each == name) for each in RATES))
        drawn = only.power_w(table_of(calls, dtype), np.full(2, 1e-3)) - SPEC.context_idle_power_w
        assert drawn[which] == pytest.approx(table_of(calls, dtype).matmul_flop[which] / 1e-3 / 1e12)
        assert drawn[1 - which] == 0.0
