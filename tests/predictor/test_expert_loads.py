"""Uneven loads of experts: blocks counted against drawn loads, and grouped products alone among leaves change."""

from __future__ import annotations

import math

import numpy as np
import pytest

from irene.leaves.leaf_model import LeafValues
from irene.leaves.leaf_table import LeafTable, make_table
from irene.predictor.expert_loads import TYPICAL_DEVIATION, deal_unevenly, expected_blocks, uneven_factor
from irene.predictor.predictor import Predictor
from irene.primitives.call import Call, TensorSpec
from tests.predictor.made_law import gelu, linear, tree_of


def grouped(mean_rows: int, experts: int = 8, columns: int = 4096, op: str = "aten._grouped_mm.default") -> Call:
    x = TensorSpec((mean_rows * experts, 1024), (1024, 1), "bfloat16")
    weight = TensorSpec((experts, 1024, columns), (1024 * columns, 1, 1024), "bfloat16", weight=True)
    ends = TensorSpec((experts,), (1,), "int32")
    y = TensorSpec((mean_rows * experts, columns), (columns, 1), "bfloat16")
    return Call(op, (x, weight, ends), (), (y,))


@pytest.mark.parametrize("mean_rows", [4, 64, 128, 137, 192, 256, 274, 384, 1000])
@pytest.mark.parametrize("block_rows", [128, 256])
def test_blocks_are_those_of_drawn_loads(mean_rows: int, block_rows: int) -> None:
    loads = np.random.default_rng(0).normal(mean_rows, TYPICAL_DEVIATION * mean_rows, 200_000)
    drawn = float(np.maximum(np.ceil(loads / block_rows), 1).mean())
    assert expected_blocks(mean_rows, TYPICAL_DEVIATION, block_rows) == pytest.approx(drawn, rel=0.01)


def test_equal_loads_that_fill_their_blocks_are_the_best_case() -> None:
    """The more blocks, the less half a block matters; with one row more than a block, uneven loads are cheaper."""
    exact = [uneven_factor(rows, 4096) for rows in (128, 256, 512, 1024, 4096)]
    assert exact[0] == pytest.approx(1.5, abs=0.02) and exact == sorted(exact, reverse=True) and exact[-1] > 1
    assert uneven_factor(257, 4096) < 0.85 < uneven_factor(32, 4096) == 1.0
    assert uneven_factor(256, 128) == pytest.approx(1.25, abs=0.02), "few columns take the small blocks"


@pytest.mark.parametrize("block_rows", [128, 256])
def test_more_rows_never_take_fewer_blocks(block_rows: int) -> None:
    blocks = [expected_blocks(rows, TYPICAL_DEVIATION, block_rows) for rows in range(1, 2000)]
    assert (
        blocks == sorted(blocks)
        and blocks[0] == 1.0
        and math.isclose(blocks[-1], 1999 / block_rows + 0.5, rel_tol=0.01)
    )


def table_of(calls: list[Call], predictor: Predictor) -> LeafTable:
    return make_table(calls, ["bfloat16"] * len(calls), [False] * len(calls), predictor.spec)


def test_a_model_deals_unevenly_and_a_replay_equally(shipped: Predictor) -> None:
    call = grouped(128, experts=2, columns=512)  # so small that its weights stay in the L2
    replayed = shipped.predict_primitives([call], ["bfloat16"], ["hot"])
    in_a_model = shipped.predict(tree_of([call], "cuda_graph"))
    assert in_a_model.values.isolated_energy_j[-1] == pytest.approx(uneven_factor(128, 512) * replayed.energy_j[0])
    assert uneven_factor(128, 512) > 1.4


def test_only_grouped_products_take_longer_and_draw_the_same_power(shipped: Predictor) -> None:
    calls = [
        grouped(128),
        linear(128, 256, 512),
        gelu(64, 64),
        grouped(32),
        grouped(128, op="transformers.grouped_mm_fallback"),
    ]
    alone = LeafValues(np.full(5, 2.0), np.full(5, 300.0), np.full(5, 1.25))
    dealt = deal_unevenly(alone, table_of(calls, shipped))
    assert (dealt.duration_s / 2.0).tolist() == [uneven_factor(128, 4096), 1.0, 1.0, 1.0, 1.0]
    assert dealt.power_w is alone.power_w and dealt.slowing is alone.slowing
