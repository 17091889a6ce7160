"""Feature matrices: names, scaling and cubic products as scikit-learn makes them."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from irene.errors import BadInput
from irene.irene_2021.features import distinct_rows, expand_cubic, feature_matrix, fit_scaling
from irene.irene_2021.linear_leaves import fit_leaves, predict_leaves
from irene.irene_2021.settings import Settings
from tests.irene_2021.made_trees import hold_out, table


@pytest.mark.parametrize("columns", [1, 3, 14])
def test_products_are_scikit_learns_in_its_order(columns: int) -> None:
    matrix = np.random.default_rng(columns).normal(size=(7, columns))
    assert np.allclose(expand_cubic(matrix), PolynomialFeatures(3).fit_transform(matrix))


def test_scaling_is_scikit_learns_also_of_constants() -> None:
    matrix = np.random.default_rng(0).normal(size=(500, 4)) * [1, 1e6, 0, 1] + [0, 1e8, 3802.1, 0]
    ours, theirs = fit_scaling(matrix), StandardScaler().fit(matrix)
    assert np.allclose(ours.apply(matrix), theirs.transform(matrix))
    assert ours.deviation[2] == 1.0


def test_names_of_the_feature_sets() -> None:
    assert len(Settings().features) == 14
    assert Settings(feature_sets=("model_specs",)).features == (
        "num_parameters", "input_size", "batch_size", "seq_len", "flops", "mem_bytes",
    )  # fmt: skip
    nodes = table()
    matrix = feature_matrix(nodes, ("input_size", "flops"))
    assert matrix[0].tolist() == [4 * 32, nodes.feature("flops")[0]]


def test_distinct_rows_give_the_matrix_back() -> None:
    matrix = np.random.default_rng(0).integers(0, 3, (200, 3)).astype(float)
    first, which = distinct_rows(matrix)
    assert len(first) == len(np.unique(matrix, axis=0))
    assert np.array_equal(matrix[first][which], matrix)


def test_leaves_are_ordinary_least_squares_by_operation() -> None:
    train, test = hold_out(table(), "other-c")
    names = Settings().features
    leaves, held = np.flatnonzero(train.is_leaf), np.flatnonzero(test.is_leaf)
    matrix, held_matrix = feature_matrix(train, names), feature_matrix(test, names)
    fitted = fit_leaves(matrix[leaves], train.operation[leaves], train.energy_j[leaves])
    assert set(fitted) == {"embedding", "linear", "conv1d", "matmul", "softmax", "layernorm", "tanh"}
    energy_j = predict_leaves(fitted, held_matrix[held], test, held)
    for operation in ("linear", "matmul", "softmax", "layernorm"):
        rows, other = train.operation == operation, test.operation == operation
        scaler = StandardScaler().fit(matrix[rows])
        line = LinearRegression().fit(scaler.transform(matrix[rows]), train.energy_j[rows])
        expected = line.predict(scaler.transform(held_matrix[other]))
        assert np.allclose(energy_j[test.operation[held] == operation], expected, rtol=1e-6)
    del fitted["softmax"]
    with pytest.raises(BadInput, match=r"other-c.jsonl, line 4, node 'root.0.attention.softmax': no 'softmax'"):
        predict_leaves(fitted, held_matrix[held], test, held)
