"""Boosted trees of a survey: many deep ones, which see the clock that each product ran at and answer for the full one.

A survey's products run one after the other, and the power cap takes clocks away as it goes; a timing waits for them.
So the clock is a column of its own, the typical one where it was not read, and full whenever a prediction is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irene.arrays import FloatArray, IntArray
from irene.leaves.learners.boosted_trees import BoostedTrees, trees_of

_SETTINGS: dict[str, Any] = {
    "n_estimators": 400, "max_depth": 10, "learning_rate": 0.1, "max_bin": 64, "subsample": 0.8,
    "colsample_bytree": 0.5, "min_child_weight": 8.0,
}  # fmt: skip
_FULL_CLOCK = 0.0  # log of the clock over the full one


@dataclass(frozen=True, slots=True, eq=False)
class SurveyTrees:
    """`trees` over some `columns` of the features, the log of the clock after them."""

    trees: BoostedTrees
    columns: IntArray

    def predict(self, features: FloatArray) -> FloatArray:
        """The answer at full clock for each row of `features` (rows, columns), shape (rows,)."""
        seen = np.empty((len(features), len(self.columns) + 1), dtype=np.float32)
        seen[:, :-1], seen[:, -1] = features[:, self.columns], _FULL_CLOCK
        return self.trees.predict(seen)


def describe_settings() -> str:
    """What a fit depends on beside its rows and its seed."""
    import xgboost

    return f"xgboost {xgboost.__version__}: {_SETTINGS}"


def fit_survey_trees(
    features: NDArray[np.float32], log_clock: NDArray[np.float32], target: NDArray[np.float32], seed: int = 0
) -> SurveyTrees:
    """Fit on `features` (rows, columns), `log_clock` (rows,; NaN where it was not read) and `target` (rows,).

    Columns that are the same in all rows are left out: they would take a third of the time. One thread: sums in one
    order, so that the same rows give the same bytes.
    """
    import xgboost

    columns = np.flatnonzero(features.min(axis=0) < features.max(axis=0))
    seen = np.column_stack([features[:, columns], _fill_in(log_clock)])
    fixed = {"random_state": seed, "n_jobs": 1, "tree_method": "hist"}
    booster = xgboost.XGBRegressor(**_SETTINGS, **fixed).fit(seen, target).get_booster()
    return SurveyTrees(trees_of(booster), columns)


def _fill_in(log_clock: NDArray[np.float32]) -> NDArray[np.float32]:
    """The median for what was not read. One NaN, and XGBoost would walk through all columns as through sparse ones."""
    known = log_clock[~np.isnan(log_clock)]
    return np.where(np.isnan(log_clock), np.float32(np.median(known) if len(known) else _FULL_CLOCK), log_clock)
