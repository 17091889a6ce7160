"""Candidates beside the roofline: tiles and waves of products, blocks and walks of attention."""

from __future__ import annotations

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.leaves.columns.attention_waves import attention_wave_names, attention_wave_ratios
from irene.leaves.columns.tile_times import TILES, tile_time_names, tile_time_ratios
from irene.leaves.ideal_time import base_duration_s
from irene.primitives.call import Call, TensorSpec

SPEC = load_device("h200")


def product(m: int, n: int, k: int, dtype: str = "bfloat16") -> Call:
    x, weight = TensorSpec((m, k), (k, 1), dtype), TensorSpec((n, k), (k, 1), dtype, weight=True)
    return Call("aten.linear.default", (x, weight), (), (TensorSpec((m, n), (n, 1), dtype),))


def attend(batch: int, heads: int, q_len: int, kv_len: int, causal: bool = False) -> Call:
    q, k = (TensorSpec((batch, heads, n, 64), (heads * n * 64, n * 64, 64, 1), "bfloat16") for n in (q_len, kv_len))
    return Call("aten.scaled_dot_product_attention.default", (q, k, k, None, 0.0, causal), (), (q,))


def tile_times_s(call: Call) -> dict[str, float]:
    base_s = np.array([base_duration_s(call, "bfloat16", SPEC)])
    ratios = tile_time_ratios([call], ["bfloat16"], base_s, SPEC)[0]
    times_s = dict(zip(tile_time_names(), 2.0**ratios * base_s[0], strict=True))
    return {name: time_s for name, time_s in times_s.items() if "_time" in name}


def test_a_large_product_takes_its_arithmetic_with_any_large_tile() -> None:
    times_s = tile_times_s(product(8192, 8448, 8192))  # 64 x 66 tiles of 128: 32 full waves
    assert times_s["log2_tile_time_128x128"] == pytest.approx(2 * 8192 * 8448 * 8192 / SPEC.peak("bfloat16"), rel=0.01)
    assert times_s["log2_best_tile_time"] == min(times_s.values())


def test_one_tile_more_than_fills_the_waves_costs_a_wave() -> None:
    full, more = (tile_times_s(product(128 * 132, n, 16384))["log2_tile_time_128x128"] for n in (128, 129))
    assert more == pytest.approx(2 * full, rel=0.1)


def test_a_long_inner_dimension_is_worth_splitting() -> None:
    times_s = tile_times_s(product(64, 64, 65536))
    assert times_s["log2_split_time_64x64"] < 0.2 * times_s["log2_tile_time_64x64"]
    wide = tile_times_s(product(8192, 8448, 512))
    assert wide["log2_split_time_128x128"] == wide["log2_tile_time_128x128"]
    assert len(wide) == 2 * len(TILES) + 1


def test_tiles_that_share_an_sm_fill_it_by_twos() -> None:
    names, calls = tile_time_names(), [product(64 * 132, 64, 64), product(64 * 264, 64, 64), product(64 * 265, 64, 64)]
    columns = tile_time_ratios(calls, ["float32"] * 3, np.full(3, 1e-5), SPEC)
    assert columns.shape == (3, len(names)) and np.isfinite(columns).all()
    filled = columns[:, names.index("shared_wave_efficiency_64x64")]
    assert filled == pytest.approx([0.5, 1.0, 265 / 528])
    outputs = columns[:, names.index("log2_output_rate")]
    assert outputs[1] - outputs[0] == pytest.approx(1.0)


def test_an_outer_product_of_masks_has_no_peak_and_is_priced_all_the_same() -> None:
    """BigBird's blocks: whole numbers, and no product that a tensor core could take."""
    rows, columns = TensorSpec((1, 12, 64), (768, 64, 1), "int64"), TensorSpec((1, 12, 192), (2304, 192, 1), "int64")
    out = TensorSpec((1, 12, 64, 192), (147456, 12288, 192, 1), "int64")
    call = Call("aten.einsum.default", ("blq,blk->blqk", (rows, columns)), (), (out,))
    base_s = np.array([base_duration_s(call, "int64", SPEC)])
    assert np.isfinite(tile_time_ratios([call], ["int64"], base_s, SPEC)).all()


def test_few_heads_walk_a_long_way() -> None:
    names = attention_wave_names()
    calls = [attend(1, 4, 1, 16384), attend(1, 4, 1, 32768), attend(1, 528, 1, 16384)]
    base_s = np.full(len(calls), 1e-6)
    columns = attention_wave_ratios(calls, ["bfloat16"] * len(calls), base_s, SPEC)
    assert columns.shape == (len(calls), len(names)) and np.isfinite(columns).all()
    walk = columns[:, names.index("log2_walk_time_128x128")]
    assert walk[1] - walk[0] == pytest.approx(1.0, abs=0.01)  # twice the keys, twice the way
    assert walk[2] - walk[0] == pytest.approx(2.0, abs=0.01)  # 528 blocks on 132 SMs: four waves
    assert columns[2, names.index("block_wave_efficiency_128x128")] == 1.0


def test_blocks_that_share_an_sm_take_more_to_fill_it() -> None:
    names = attention_wave_names()
    columns = attention_wave_ratios([attend(1, 264, 64, 512)], ["bfloat16"], np.full(1, 1e-5), SPEC)
    assert columns[0, names.index("block_wave_efficiency_64_by_2")] == 1.0
    assert columns[0, names.index("block_wave_efficiency_64_by_4")] == 0.5


def test_causal_walks_half_the_way() -> None:
    columns = attention_wave_ratios([attend(8, 16, 8192, 8192, c) for c in (False, True)], ["bfloat16"] * 2,
                                    np.full(2, 1e-3), SPEC)  # fmt: skip
    assert columns[0, 0] - columns[1, 0] == pytest.approx(1.0, abs=0.03)
