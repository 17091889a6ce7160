"""What an ablation takes out is out, and the rest of the predictor stands on what is left."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pandas as pd
import pytest

from irene.hardware.devices import load_device
from irene.leaves.leaf_table import LeafTable, make_table, matrix_names
from irene.predictor.training import fit, fit_leaf_ensembles
from irene.predictor.training_data import gather_primitives
from tests.experiments.loading import load_experiment
from tests.predictor.made_law import gelu, law_rows, law_s, linear

SPEC = load_device("h200")


@pytest.fixture(scope="module")
def leaves() -> ModuleType:
    return load_experiment("ablations/leaves.py")


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return law_rows()


@pytest.fixture(scope="module")
def table() -> LeafTable:
    calls = [linear(1024, 768, 1024), linear(300, 2000, 1024), gelu(1536, 2048), gelu(100, 1024)]
    return make_table(calls, ["bfloat16"] * 4, [False] * 4, SPEC)


def test_blind_leaves_see_no_candidates(leaves: ModuleType, rows: pd.DataFrame, table: LeafTable) -> None:
    names = [matrix_names("gemm-half")[at] for at in leaves.own_columns("gemm-half")]
    assert "log2_m" in names and not any("tile_time" in name or "split" in name or "picked" in name for name in names)
    assert len(leaves.own_columns("vector-rowwise")) == len(matrix_names("vector-rowwise"))  # it has no candidates
    blind = leaves.fit_blind_leaves(gather_primitives(rows, SPEC), SPEC, 0)
    assert {"log2_m", "log2_base_s"} < set(blind.time["gemm-half"].names) < set(names)
    np.testing.assert_allclose(blind.predict_burst_s(table), [law_s(call) for call in table.calls], rtol=0.5)
    np.testing.assert_array_equal(
        blind.predict(table).duration_s[2:],
        fit_leaf_ensembles(gather_primitives(rows, SPEC), SPEC, 0).predict(table).duration_s[2:],
    )


def test_trees_and_gaussian_processes_alone_lie_on_either_side_of_their_blend(
    leaves: ModuleType, rows: pd.DataFrame, table: LeafTable
) -> None:
    data = gather_primitives(rows, SPEC)
    both, trees, gp = (
        np.log(build(data, SPEC, 0).predict_burst_s(table))
        for build in (fit_leaf_ensembles, leaves.fit_tree_leaves, leaves.fit_gp_leaves)
    )
    assert (np.abs(trees - gp) > 1e-6).all()
    assert ((both >= np.minimum(trees, gp) - 1e-9) & (both <= np.maximum(trees, gp) + 1e-9)).all()


def test_uncapped_leaves_take_a_burst(leaves: ModuleType, rows: pd.DataFrame, table: LeafTable) -> None:
    uncapped = leaves.fit_uncapped_leaves(gather_primitives(rows, SPEC), SPEC, 0)
    values = uncapped.predict(table)
    np.testing.assert_array_equal(values.duration_s, uncapped.predict_burst_s(table))
    assert set(values.slowing) == {1.0} and (values.power_w > 0).all()


def test_linear_leaves_carry_a_whole_predictor(leaves: ModuleType, rows: pd.DataFrame, table: LeafTable) -> None:
    predictor = fit(rows, fit_leaves=leaves.fit_linear_leaves)
    np.testing.assert_allclose(predictor.leaves.predict_burst_s(table), [law_s(call) for call in table.calls], rtol=0.5)
    far = make_table([gelu(2**20, 2**14)], ["bfloat16"], [False], SPEC)
    ratio = predictor.leaves.predict_burst_s(far) / far.base_s
    assert 0.3 < ratio[0] < 3.0  # held at the edge, whatever a polynomial says there
