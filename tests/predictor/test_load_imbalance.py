"""Uneven loads of experts: blocks counted against drawn loads, and grouped products alone among leaves change."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from irene.hardware.kernel_library import load_library
from irene.leaves.leaf_model import LeafValues
from irene.leaves.leaf_table import LeafTable, make_table
from irene.measuring.expert_routing import describe_loads
from irene.predictor.load_imbalance import (
    TYPICAL_DEVIATION,
    TYPICAL_LOADS,
    RouterLoads,
    apply_load_imbalance,
    expected_blocks,
    uneven_factor,
    without_idle,
)
from irene.predictor.predictor import Predictor
from irene.predictor.runtime import RuntimeFeatures
from irene.primitives.call import Call
from tests.predictor.made_law import gelu, grouped, linear, tree_of

GROUPED = load_library("hopper").grouped_products


@pytest.mark.parametrize("mean_rows", [4, 64, 128, 137, 192, 256, 274, 384, 1000])
@pytest.mark.parametrize("block_rows", [128, 256])
def test_blocks_are_those_of_drawn_loads(mean_rows: int, block_rows: int) -> None:
    loads = np.random.default_rng(0).normal(mean_rows, TYPICAL_DEVIATION * mean_rows, 200_000)
    drawn = float(np.maximum(np.ceil(loads / block_rows), 1).mean())
    assert expected_blocks(mean_rows, TYPICAL_DEVIATION, block_rows) == pytest.approx(drawn, rel=0.01)


def test_equal_loads_that_fill_their_blocks_are_the_best_case() -> None:
    """The more blocks, the less half a block matters; with one row more than a block, uneven loads are cheaper."""
    exact = [uneven_factor(rows, 4096, GROUPED) for rows in (128, 256, 512, 1024, 4096)]
    assert exact[0] == pytest.approx(1.5, abs=0.02) and exact == sorted(exact, reverse=True) and exact[-1] > 1
    assert uneven_factor(257, 4096, GROUPED) < 0.85 < uneven_factor(32, 4096, GROUPED) == 1.0
    assert uneven_factor(256, 128, GROUPED) == pytest.approx(1.25, abs=0.02), "few columns take the small blocks"


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
    assert in_a_model.values.isolated_energy_j[-1] == pytest.approx(
        uneven_factor(128, 512, GROUPED) * replayed.energy_j[0]
    )
    assert uneven_factor(128, 512, GROUPED) > 1.4


def test_only_grouped_products_take_longer_and_draw_the_same_power(shipped: Predictor) -> None:
    calls = [
        grouped(128),
        linear(128, 256, 512),
        gelu(64, 64),
        grouped(32),
        grouped(128, op="transformers.grouped_mm_fallback"),
    ]
    alone = LeafValues(np.full(5, 2.0), np.full(5, 300.0), np.full(5, 1.25))
    routed = apply_load_imbalance(alone, table_of(calls, shipped), [TYPICAL_LOADS] * 5)
    assert (routed.duration_s / 2.0).tolist() == [uneven_factor(128, 4096, GROUPED), 1.0, 1.0, 1.0, 1.0]
    assert routed.power_w is alone.power_w and routed.slowing is alone.slowing


def test_the_deviation_of_busy_experts_is_that_of_their_rows() -> None:
    """Independent: the deviation counted over the busy ones alone."""
    rows = [7, 3, 1, 0, 0, 5, 0, 0]
    counted = describe_loads(rows)
    loads = RouterLoads(counted.busy_experts_pct / 100, counted.expert_load_deviation)
    busy = np.array([count for count in rows if count])
    assert loads.deviation_of_busy == pytest.approx(busy.std() / busy.mean())
    assert TYPICAL_LOADS.deviation_of_busy == pytest.approx(TYPICAL_DEVIATION)


def test_idle_experts_are_left_out_of_grouped_products_alone(shipped: Predictor) -> None:
    table = table_of([grouped(32, experts=64), linear(128, 256, 512)], shipped)
    routed = without_idle(table, [RouterLoads(0.25, 2.0)] * 2)
    assert without_idle(table, [TYPICAL_LOADS] * 2) is table
    assert routed.calls[0].args[0] == table.calls[0].args[0], "the rows are the same"
    assert routed.calls[0] == Call(
        grouped(128, experts=16).op, grouped(128, experts=16).args, (), table.calls[0].outputs
    )
    assert routed.calls[1] is table.calls[1]
    x, weight, ends = table.calls[0].args
    named = Call(grouped(32).op, (x, weight), (("offs", ends),), table.calls[0].outputs)
    (few,) = without_idle(table_of([named], shipped), [RouterLoads(0.25, 2.0)]).calls
    assert few.kwarg("offs") == routed.calls[0].args[2] and few.args[1] == routed.calls[0].args[1]
    assert routed.traffic_bytes[0] < 0.5 * table.traffic_bytes[0] and routed.flop[0] == table.flop[0]


def test_a_quarter_of_the_experts_reads_a_quarter_of_the_weights(shipped: Predictor) -> None:
    tree, run = tree_of([grouped(8, experts=64)], "cuda_graph"), RuntimeFeatures(1e-4, 1.98e9)
    routed = replace(run, busy_experts_pct=25.0, expert_load_deviation=2.0)
    all_of_them, few = (shipped.predict(tree, seen).values.isolated_energy_j[-1] for seen in (run, routed))
    assert few < 0.6 * all_of_them
