"""Power of attention by the work that its blocks really do; a regressor of its own for each set of kernels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.leaves.leaf_model import LeafModel, fit_leaf_model
from irene.leaves.leaf_table import LeafTable, make_table
from irene.leaves.power.attention import ATTENTION_REGRESSORS, attention_power_matrix, attention_power_names
from irene.predictor.bundle import load_bundle, save_bundle
from irene.predictor.predictor import Predictor
from irene.primitives.call import Call, TensorSpec
from tests.predictor.made_law import gelu

SPEC = load_device("h200")
BURST_S = 1e-4
EFFICIENT, MATH = ATTENTION_REGRESSORS


def attend(batch: int, heads: int, q_len: int, kv_len: int = 1024, size: int = 64, dtype: str = "float32") -> Call:
    q, k = (TensorSpec((batch, heads, n, size), (heads * n * size, n * size, size, 1), dtype) for n in (q_len, kv_len))
    return Call("aten.scaled_dot_product_attention.default", (q, k, k, None, 0.0, False), (), (q,))


def table_of(calls: list[Call], dtype: str = "float32") -> LeafTable:
    return make_table(calls, [dtype] * len(calls), [False] * len(calls), SPEC)


def columns_of(calls: list[Call], dtype: str = "float32", regressor: str = EFFICIENT) -> dict[str, np.ndarray]:
    table, members = table_of(calls, dtype), np.arange(len(calls))
    assert set(table.regressors) == {regressor}
    matrix = attention_power_matrix(regressor, table, members, np.full(len(calls), BURST_S))
    assert np.isfinite(matrix).all()
    return dict(zip(attention_power_names(), matrix.T, strict=True))


def test_one_query_works_as_hard_as_a_block_of_them() -> None:
    one, block, more = columns_of([attend(8, 16, 1), attend(8, 16, 64), attend(8, 16, 65)])[
        "log2_padded_products_share"
    ]
    assert one == pytest.approx(block)
    assert more > block
    products = columns_of([attend(8, 16, 1), attend(8, 16, 64)])["log2_products_share"]
    assert products[0] < products[1]


def test_shares_are_of_the_peak() -> None:
    columns = columns_of([attend(4, 32, 2048, 2048, 128)])
    flop_per_s = 4 * 4 * 32 * 2048 * 2048 * 128 / BURST_S
    assert 2 ** columns["log2_products_share"] - 0.1 == pytest.approx(flop_per_s / SPEC.vector_flop_per_s)
    assert columns["log2_padded_products_share"] == pytest.approx(columns["log2_products_share"])
    exponentials_per_s = 4 * 32 * 2048 * 2048 / BURST_S
    peak_per_s = 16 * SPEC.sm_count * SPEC.max_sm_clock_hz
    assert 2 ** columns["log2_exponentials_share"] - 0.1 == pytest.approx(exponentials_per_s / peak_per_s)


def test_few_blocks_leave_multiprocessors_idle() -> None:
    columns = columns_of(
        [attend(1, SPEC.sm_count // 4, 64), attend(1, SPEC.sm_count, 64), attend(3, SPEC.sm_count, 32)]
    )
    assert columns["log2_busy_share"] == pytest.approx([-2.0, 0.0, 0.0])
    assert columns["log2_blocks_per_sm"] == pytest.approx([-2.0, 0.0, np.log2(3)])
    assert columns["block_wave_efficiency"] == pytest.approx([0.25, 1.0, 1.0])


def test_only_plain_attention_knows_tf32() -> None:
    """Memory-efficient attention runs one kernel in both modes; the products of plain attention change theirs."""
    single, tf32 = (columns_of([attend(8, 16, 256)], dtype) for dtype in ("float32", "tf32"))
    assert all(single[name] == tf32[name] for name in single)
    odd = [attend(8, 16, 256, size=63)]  # no fused kernel takes that size
    single, tf32 = (columns_of(odd, dtype, MATH) for dtype in ("float32", "tf32"))
    assert single["log2_products_share"] > tf32["log2_products_share"]


def law_w(call: Call) -> float:
    batch, heads, q_len, _ = call.tensors[0].shape
    return 120.0 + 500.0 * min(batch * heads * -(-q_len // 64) / SPEC.sm_count, 1.0)


def fit_law(calls: list[Call]) -> LeafModel:
    """Attention by `law_w` among kernels that always draw 600 W."""
    others = [gelu(2**at, width) for at in range(8, 16) for width in (2048, 4096, 8192)]  # enough to learn their time
    table = table_of([*calls, *others])
    watts = np.array([*map(law_w, calls), *[600.0] * len(others)])
    burst_s = table.base_s * 3
    return fit_leaf_model(table, burst_s, table, burst_s, watts, burst_s, SPEC)


SIZES = [(batch, heads, q_len) for batch in (1, 2, 5) for heads in (4, 9, 20, 64) for q_len in (1, 64, 200)]


def test_it_learns_how_idle_multiprocessors_save_power(fitted: Predictor, tmp_path: Path) -> None:
    model = fit_law([attend(*sizes) for sizes in SIZES])
    assert set(model.dedicated_power) == {EFFICIENT}
    asked = table_of([attend(1, 12, 64), attend(1, 30, 100), attend(2, 12, 130), attend(4, 40, 128), gelu(512, 4096)])
    law = np.array([*map(law_w, asked.calls[:4]), 600.0])
    np.testing.assert_allclose(model.predict(asked).power_w, law, rtol=0.1)
    saved = save_bundle(replace(fitted, leaves=model), tmp_path / "bundle")
    np.testing.assert_allclose(load_bundle(saved).leaves.predict(asked).power_w, model.predict(asked).power_w)


def test_with_too_few_rows_attention_is_one_kind_among_others() -> None:
    model = fit_law([attend(*sizes) for sizes in SIZES[:19]])
    assert not model.dedicated_power
    power_w = model.predict(table_of([attend(1, 12, 64)])).power_w
    assert 120 <= power_w[0] <= 700
