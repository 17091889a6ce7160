"""One learned quantity: boosted trees and a sparse Gaussian process side by side, their answers averaged.

Trees follow the jumps where a library changes its kernel, a Gaussian process the slopes between; each errs elsewhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from irene.arrays import FloatArray
from irene.leaves.learners.boosted_trees import BoostedTrees, trees_of
from irene.leaves.learners.fit_cache import FitCache
from irene.leaves.learners.sparse_gp import MOST_POINTS, SparseGP, fit_sparse_gp
from irene.leaves.learners.survey_trees import SurveyTrees

if TYPE_CHECKING:
    import xgboost


@dataclass(frozen=True, slots=True, eq=False)
class Ensemble:
    """`gp_share` of the Gaussian process's answer and the rest of the trees'.

    With a `prior` both are taught what it leaves, and see its answer as one more feature.
    """

    trees: BoostedTrees
    gp: SparseGP
    gp_share: float
    prior: SurveyTrees | None = None

    def predict(self, features: FloatArray) -> FloatArray:
        """The answer for each row of `features` (rows, columns), shape (rows,)."""
        prior = 0.0 if self.prior is None else self.prior.predict(features)
        if self.prior is not None:
            features = np.column_stack([features, prior])
        from_trees = self.trees.predict(features)
        answer: FloatArray = prior + from_trees + self.gp_share * (self.gp.predict(features) - from_trees)
        return answer


# Some megabytes each. A predictor has about a hundred, folds and all; the next family's shares most of them.
_FITTED: FitCache[Ensemble] = FitCache(250)
# What a prior leaves has no fine detail: more points cost time and make no difference to held-out sites.
_POINTS_ON_PRIOR = 600


def fit_ensemble(
    features: FloatArray, target: FloatArray, tree_settings: dict[str, Any], gp_share: float, seed: int = 0,
    most_points: int = MOST_POINTS,
) -> Ensemble:  # fmt: skip
    """Fit both on `features` (rows, columns) and `target` (rows,); the trees' gains start the search of the process.

    Fitted once for the same numbers: folds that hold out the same rows of a kind have the same regressor.
    """
    known = [str(features.shape).encode(), features.tobytes(), target.tobytes()]
    known.append(f"{tree_settings} {gp_share} {seed} {most_points}".encode())
    key = hashlib.sha256(b"".join(known)).hexdigest()
    return _FITTED.get(key, lambda: _fit_both(features, target, tree_settings, gp_share, seed, most_points))


def fit_ensemble_on(
    prior: SurveyTrees, features: FloatArray, target: FloatArray, tree_settings: dict[str, Any],
    gp_share: float, seed: int = 0,
) -> Ensemble:  # fmt: skip
    """An ensemble of what a `prior`, fitted on the same columns and on other rows, leaves of `target` (rows,)."""
    answer = prior.predict(features)
    seen = np.column_stack([features, answer])
    rest = fit_ensemble(seen, target - answer, tree_settings, gp_share, seed, _POINTS_ON_PRIOR)
    return replace(rest, prior=prior)


def fit_trees(features: FloatArray, target: FloatArray, settings: dict[str, Any], seed: int) -> xgboost.Booster:
    """Boosted trees alone. One thread: sums in one order, so that the same rows give the same bytes on any machine."""
    import xgboost

    fixed = {"random_state": seed, "n_jobs": 1, "tree_method": "hist"}
    return xgboost.XGBRegressor(**settings, **fixed).fit(features, target).get_booster()


def _fit_both(
    features: FloatArray, target: FloatArray, tree_settings: dict[str, Any], gp_share: float, seed: int,
    most_points: int,
) -> Ensemble:  # fmt: skip
    trees = fit_trees(features, target, tree_settings, seed)
    gains = gains_of(trees, features.shape[1])
    return Ensemble(trees_of(trees), fit_sparse_gp(features, target, gains, seed, most_points=most_points), gp_share)


def gains_of(trees: xgboost.Booster, columns: int) -> FloatArray:
    """How useful trees found each of `columns` features: the total gain of their splits, shape (columns,)."""
    scores = trees.get_score(importance_type="total_gain")
    return np.array([scores.get(f"f{column}", 0.0) for column in range(columns)], dtype=np.float64)
