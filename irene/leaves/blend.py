"""One learned quantity: boosted trees and a smooth regressor side by side, their answers averaged.

Trees follow the jumps where a library changes its kernel, a Gaussian process the slopes between; each errs elsewhere.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from irene.leaves.fitted_once import FittedOnce
from irene.leaves.rough_regressor import RoughRegressor
from irene.leaves.smooth_regressor import MOST_POINTS, FloatArray, SmoothRegressor, fit_smooth

if TYPE_CHECKING:
    import xgboost


@dataclass(frozen=True, slots=True, eq=False)
class Blend:
    """`smooth_share` of the smooth regressor's answer and the rest of the trees'.

    With a `rough` regressor both are taught what it leaves, and see its answer as one more feature.
    """

    trees: xgboost.Booster
    smooth: SmoothRegressor
    smooth_share: float
    rough: RoughRegressor | None = None

    def predict(self, features: FloatArray) -> FloatArray:
        """The answer for each row of `features` (rows, columns), shape (rows,)."""
        rough = 0.0 if self.rough is None else self.rough.predict(features)
        if self.rough is not None:
            features = np.column_stack([features, rough])
        from_trees = _ask(self.trees, features)
        answer: FloatArray = rough + from_trees + self.smooth_share * (self.smooth.predict(features) - from_trees)
        return answer


def _ask(trees: xgboost.Booster, features: FloatArray) -> FloatArray:
    return np.asarray(trees.inplace_predict(features), dtype=np.float64)


# Some megabytes each. A predictor has about a hundred, folds and all; the next family's shares most of them.
_FITTED: FittedOnce[Blend] = FittedOnce(250)
# What a rough regressor leaves has no fine detail: more points cost time and make no difference to held-out sites.
_POINTS_ON_ROUGH = 600


def fit_blend(
    features: FloatArray, target: FloatArray, tree_settings: dict[str, Any], smooth_share: float, seed: int = 0,
    most_points: int = MOST_POINTS,
) -> Blend:  # fmt: skip
    """Fit both on `features` (rows, columns) and `target` (rows,); the trees' gains start the smooth one's search.

    Fitted once for the same numbers: folds that hold out the same rows of a kind have the same regressor.
    """
    known = [str(features.shape).encode(), features.tobytes(), target.tobytes()]
    known.append(f"{tree_settings} {smooth_share} {seed} {most_points}".encode())
    key = hashlib.sha256(b"".join(known)).hexdigest()
    return _FITTED.get(key, lambda: _fit_both(features, target, tree_settings, smooth_share, seed, most_points))


def fit_blend_on(
    rough: RoughRegressor, features: FloatArray, target: FloatArray, tree_settings: dict[str, Any],
    smooth_share: float, seed: int = 0,
) -> Blend:  # fmt: skip
    """A blend of what a `rough` regressor, fitted on the same columns and on other rows, leaves of `target` (rows,)."""
    answer = rough.predict(features)
    seen = np.column_stack([features, answer])
    rest = fit_blend(seen, target - answer, tree_settings, smooth_share, seed, _POINTS_ON_ROUGH)
    return replace(rest, rough=rough)


def fit_trees(features: FloatArray, target: FloatArray, settings: dict[str, Any], seed: int) -> xgboost.Booster:
    """Boosted trees alone. One thread: sums in one order, so that the same rows give the same bytes on any machine."""
    import xgboost

    fixed = {"random_state": seed, "n_jobs": 1, "tree_method": "hist"}
    return xgboost.XGBRegressor(**settings, **fixed).fit(features, target).get_booster()


def _fit_both(
    features: FloatArray, target: FloatArray, tree_settings: dict[str, Any], smooth_share: float, seed: int,
    most_points: int,
) -> Blend:  # fmt: skip
    trees = fit_trees(features, target, tree_settings, seed)
    gains = gains_of(trees, features.shape[1])
    return Blend(trees, fit_smooth(features, target, gains, seed, most_points=most_points), smooth_share)


def gains_of(trees: xgboost.Booster, columns: int) -> FloatArray:
    """How useful trees found each of `columns` features: the total gain of their splits, shape (columns,)."""
    scores = trees.get_score(importance_type="total_gain")
    return np.array([scores.get(f"f{column}", 0.0) for column in range(columns)], dtype=np.float64)
