"""Passes are priced together and each as if alone, whatever the regressors are asked at once."""

from __future__ import annotations

import numpy as np
import pytest

from irene.leaves.leaf_table import make_table
from irene.passes.counted import Pass
from irene.predictor import pipeline
from irene.predictor.load_imbalance import TYPICAL_LOADS, RouterLoads
from irene.predictor.pipeline import price_passes, price_tables
from irene.predictor.predictor import Predictor
from irene.predictor.tree_leaves import tabulate_leaves
from tests.predictor.made_law import gelu, grouped, linear, tree_of

LARGE = tree_of([linear(4096, 768, 1024), gelu(4096, 4096)] * 4, "cuda_graph")
SMALL = tree_of([linear(1, 768, 1024)] * 4, "eager")


def test_each_pass_has_its_own_timeline_and_its_count(shipped: Predictor) -> None:
    once, many = price_passes(shipped, [Pass(LARGE), Pass(SMALL, 7, "decode")])
    for priced, tree in ((once, LARGE), (many, SMALL)):
        alone = shipped.predict(tree)
        assert priced.of.tree is tree
        np.testing.assert_allclose(priced.values.energy_j, alone.values.energy_j, rtol=1e-9)
        np.testing.assert_allclose(priced.values.launch_gap_j, alone.values.launch_gap_j, rtol=1e-9)
    assert (once.placed.regime, many.placed.regime) == ("cuda_graph", "host_bound")
    assert many.energy_j == pytest.approx(7 * shipped.predict(SMALL).energy_j)
    assert many.duration_s == pytest.approx(7 * shipped.predict(SMALL).duration_s)
    assert len(many.provenance) == 4


def test_no_pass_costs_nothing(shipped: Predictor) -> None:
    assert price_passes(shipped, []) == []
    with pytest.raises(ValueError, match="'decode': a count of at least 1"):
        Pass(SMALL, 0, "decode")


def test_tables_are_priced_alike_in_parts(shipped: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also with fewer rows at once than a table has, and each table with its own loads of experts."""
    loads = [[TYPICAL_LOADS] * 3, [RouterLoads(0.25, 2.0)] * 3]
    calls = [grouped(8, experts=64), linear(128, 256, 512), gelu(64, 64)]
    table = make_table(calls, ["bfloat16"] * 3, [False] * 3, shipped.spec)
    typical, routed = price_tables(shipped.leaves, [table, table], loads)
    monkeypatch.setattr(pipeline, "_ROWS_AT_ONCE", 2)
    for whole, parts in zip((typical, routed), price_tables(shipped.leaves, [table, table], loads), strict=True):
        np.testing.assert_allclose(parts.alone.energy_j, whole.alone.energy_j, rtol=1e-9)
    assert typical.table is table and routed.table.traffic_bytes[0] < 0.5 * table.traffic_bytes[0]
    assert routed.alone.duration_s[0] < 0.6 * typical.alone.duration_s[0]


def test_idle_experts_are_not_there_when_leaves_are_placed(shipped: Predictor) -> None:
    """Their weights would count as traffic of the pass."""
    leaves = tabulate_leaves(tree_of([grouped(8, experts=64)] * 2, "cuda_graph"), shipped.spec)
    (costs,) = price_tables(shipped.leaves, [leaves.table], [[RouterLoads(0.25, 2.0)] * len(leaves.table.calls)])
    placed = costs.leaves_of(leaves)
    assert placed.table is costs.table and placed.row_of_leaf is leaves.row_of_leaf
    assert placed.table.traffic_bytes[0] < 0.5 * leaves.table.traffic_bytes[0]
