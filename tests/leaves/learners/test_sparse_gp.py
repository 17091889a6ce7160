"""The Gaussian process finds a smooth law in few rows, forgets what says nothing, and never leaves the data."""

from __future__ import annotations

import numpy as np
import pytest

from irene.arrays import FloatArray
from irene.leaves.learners.ensemble import fit_ensemble
from irene.leaves.learners.ensemble_files import ensemble_from_bytes, ensemble_to_bytes
from irene.leaves.learners.sparse_gp import SparseGP, fit_sparse_gp

TREES = {"n_estimators": 30, "max_depth": 3}


def law(rows: FloatArray) -> FloatArray:
    values: FloatArray = np.sin(rows[:, 0]) + 0.5 * rows[:, 1]
    return values


def sample(count: int, seed: int = 3) -> FloatArray:
    return np.random.default_rng(seed).uniform(-2.0, 2.0, (count, 6))


@pytest.fixture(scope="module")
def gp() -> SparseGP:
    rows = sample(150)
    return fit_sparse_gp(rows, law(rows), np.ones(6))


def test_it_finds_a_smooth_law_where_trees_see_steps(gp: SparseGP) -> None:
    asked = sample(200, seed=4)
    error = np.abs(gp.predict(asked) - law(asked)).mean()
    rows = sample(150)
    ensemble = fit_ensemble(rows, law(rows), TREES, 0.5)
    trees = ensemble.trees.predict(asked)
    assert error < 0.05
    assert np.abs(trees - law(asked)).mean() > 2 * error


def test_scales_are_long_for_what_says_nothing(gp: SparseGP) -> None:
    scale = dict(zip(gp.columns.tolist(), gp.scale.tolist(), strict=True))
    assert min(scale[0], scale[1]) > 5 * max(scale.get(column, 0.0) for column in range(2, 6))


def test_few_points_learn_from_all_rows() -> None:
    """Ten times as many rows as points: nearly as good as all rows, and better than the points' own rows alone."""
    rows, asked = sample(600), sample(200, seed=4)
    target = law(rows) + np.random.default_rng(0).normal(0.0, 0.1, len(rows))
    whole = fit_sparse_gp(rows, target, np.ones(6))
    projected = fit_sparse_gp(rows, target, np.ones(6), most_points=60)
    alone = fit_sparse_gp(rows[::10], target[::10], np.ones(6))
    errors = [np.abs(found.predict(asked) - law(asked)).mean() for found in (whole, projected, alone)]
    assert len(projected.inducing_points) == 60 < len(whole.inducing_points)
    assert errors[1] < 1.5 * errors[0] and errors[1] < 0.7 * errors[2]


def test_rows_that_lie_on_each_other_are_one_point() -> None:
    rows = sample(40)
    twice = fit_sparse_gp(np.vstack([rows, rows + 1e-9]), np.tile(law(rows), 2), np.ones(6))
    assert len(twice.inducing_points) <= 40
    np.testing.assert_allclose(twice.predict(rows), law(rows), atol=0.05)


def test_with_every_row_a_point_it_is_the_exact_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against K (K + noise)^-1 y, solved directly; in one block of rows and in several."""
    from irene.leaves.learners import sparse_gp

    rows, noise = sample(80), 0.01
    apart = np.sqrt(((rows[:, None] - rows[None]) ** 2).sum(axis=2))
    covariance = (1 + np.sqrt(3) * apart) * np.exp(-np.sqrt(3) * apart)
    exact = np.linalg.solve(covariance + noise * np.eye(80), law(rows))
    for at_once in (1000, 30):
        monkeypatch.setattr(sparse_gp, "_ROWS_AT_ONCE", at_once)
        np.testing.assert_allclose(sparse_gp._project(rows, rows, law(rows), noise), exact, atol=1e-3)


def test_the_slopes_of_the_search_are_those_of_its_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against finite differences, at the place where the search starts."""
    from scipy import optimize

    from irene.leaves.learners import length_scales

    seen = {}

    def check(loss: object, start: FloatArray, **_: object) -> object:
        value_of = lambda logs: loss(logs)[0]  # type: ignore[operator]  # noqa: E731
        seen["off"] = optimize.check_grad(value_of, lambda logs: loss(logs)[1], start)  # type: ignore[operator]
        seen["size"] = np.linalg.norm(loss(start)[1])  # type: ignore[operator]
        return optimize.OptimizeResult(x=start)

    rows = sample(40)
    monkeypatch.setattr("scipy.optimize.minimize", check)
    length_scales.learn_scales(rows, law(rows), np.full(6, -1.0))
    assert seen["off"] < 1e-4 * seen["size"]


def test_outside_the_data_it_holds_the_edge(gp: SparseGP) -> None:
    edge, beyond = np.zeros((1, 6)), np.zeros((1, 6))
    edge[0, 1], beyond[0, 1] = sample(150)[:, 1].max(), 1e6
    np.testing.assert_allclose(gp.predict(beyond), gp.predict(edge), atol=1e-6)


def test_many_rows_are_answered_as_few_are(gp: SparseGP) -> None:
    """Blocks in which some columns vary, all of them, or none; the last is cut short."""
    asked = sample(2000, seed=5)
    asked[:600, 2:] = asked[0, 2:]
    asked[600:1200] = asked[600]
    few = np.concatenate([gp.predict(asked[start : start + 100]) for start in range(0, 2000, 100)])
    np.testing.assert_allclose(gp.predict(asked), few, rtol=0, atol=1e-11)


def test_a_column_that_never_changes_and_a_target_that_never_changes() -> None:
    rows = np.hstack([sample(30), np.ones((30, 1))])
    flat = fit_sparse_gp(rows, np.full(30, 7.0), np.zeros(7))
    assert 6 not in flat.columns
    np.testing.assert_allclose(flat.predict(rows), 7.0, atol=1e-6)


def test_the_share_says_who_is_heard() -> None:
    rows = sample(60)
    answers = [fit_ensemble(rows, law(rows), TREES, share).predict(rows) for share in (0.0, 0.5, 1.0)]
    np.testing.assert_allclose(answers[1], (answers[0] + answers[2]) / 2)
    assert np.abs(answers[0] - answers[2]).max() > 0.01


def test_a_saved_blend_answers_the_same() -> None:
    rows = sample(60)
    ensemble = fit_ensemble(rows, law(rows), TREES, 0.3)
    files = ensemble_to_bytes(ensemble)
    assert files == ensemble_to_bytes(fit_ensemble(rows, law(rows), TREES, 0.3))
    loaded = ensemble_from_bytes("it", files, 0.3, 6)
    np.testing.assert_array_equal(loaded.predict(sample(9, seed=8)), ensemble.predict(sample(9, seed=8)))
