"""A fitted ensemble that names its columns: what a table has besides, now or in a later irene, does not concern it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np

from irene.arrays import FloatArray, IntArray, distinct_rows
from irene.errors import BadInput
from irene.leaves.learners.ensemble import Ensemble, fit_ensemble, fit_ensemble_on
from irene.leaves.learners.survey_trees import SurveyTrees

_MANY = 1000  # rows
_MOST_LOG = 100.0  # every regressor answers the logarithm of a ratio or of watts


@dataclass(frozen=True, slots=True, eq=False)
class Regressor:
    """`ensemble` answers for rows of the columns `names`, in that order."""

    ensemble: Ensemble
    names: tuple[str, ...]

    def predict(self, features: FloatArray, names: tuple[str, ...]) -> FloatArray:
        """The answer for each row of `features` (rows, columns), whose columns are `names`; shape (rows,).

        Raises BadInput if a column that it sees is not among them, and for an answer that is no log of anything.
        """
        seen = features if names == self.names else features[:, _find(self.names, names)]
        answer = self._ask(seen)
        if not (np.abs(answer) <= _MOST_LOG).all():  # also what is no number
            raise BadInput(f"a regressor of the predictor answers beyond a factor of e^{_MOST_LOG:.0f}; train it again")
        return answer

    def _ask(self, seen: FloatArray) -> FloatArray:
        """The ensemble's answers; of many rows, such as a sweep's, it is asked each once."""
        if len(seen) < _MANY:
            return self.ensemble.predict(seen)
        first, of_row = distinct_rows(seen)
        return self.ensemble.predict(seen[first])[of_row]


def fit_regressor(
    features: FloatArray, names: Sequence[str], target: FloatArray, tree_settings: dict[str, Any], gp_share: float,
    seed: int = 0, prior: SurveyTrees | None = None,
) -> Regressor:  # fmt: skip
    """Fit on `features` (rows, columns `names`) and `target` (rows,).

    A column that is the same in all rows (a kind or an operator that was never seen) is none of the regressor's. A
    `prior` was fitted on the same columns and on other rows; what it sees is kept.
    """
    varies = features.min(axis=0) < features.max(axis=0)
    if prior is not None:
        varies[prior.columns] = True
    at = np.flatnonzero(varies)
    own = tuple(names[column] for column in at.tolist())
    if prior is None:
        return Regressor(fit_ensemble(features[:, at], target, tree_settings, gp_share, seed), own)
    below = replace(prior, columns=np.searchsorted(at, prior.columns))
    return Regressor(fit_ensemble_on(below, features[:, at], target, tree_settings, gp_share, seed), own)


@lru_cache(maxsize=256)
def _find(own: tuple[str, ...], given: tuple[str, ...]) -> IntArray:
    places = {name: at for at, name in enumerate(given)}
    missing = [name for name in own if name not in places]
    if missing:
        raise BadInput(f"a regressor sees columns that are not computed here: {', '.join(missing[:5])}")
    return np.array([places[name] for name in own], dtype=np.int64)
