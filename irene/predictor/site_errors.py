"""What a primitive is wrong by: each predicted by regressors that have not seen its site.

In energy where it was metered. Of what has fewer metered calls than a width is made of, time stands in: what a kernel
is wrong by in energy it is wrong by in time, watts being the easier half.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from irene.arrays import FloatArray
from irene.leaves.leaf_model import LeafModel
from irene.leaves.leaf_table import LeafTable
from irene.predictor.intervals import FEWEST_ERRORS
from irene.predictor.training_data import PrimitiveData, site_folds


def hold_out_sites(data: PrimitiveData, held_out: Sequence[LeafModel]) -> list[tuple[str, float]]:
    """(what it is known by, log of predicted over measured) of metered calls, and of timed ones where those are few.

    `held_out` are regressors by site fold.
    """
    predicted_j = _predict(held_out, data.metered, lambda model, table: model.predict(table).energy_j)
    errors = np.log(predicted_j / (data.metered_s * data.metered_w))
    found = list(zip(data.metered.known_by.tolist(), errors.tolist(), strict=True))
    counts, known_by = Counter(known for known, _ in found), data.timed.known_by
    scarce = np.array([counts[known] < FEWEST_ERRORS for known in known_by.tolist()], dtype=np.bool_)
    few = np.flatnonzero(scarce & data.timed.launches)
    if not len(few):
        return found
    timed = data.timed.take(few)
    predicted_s = _predict(held_out, timed, lambda model, table: model.predict_burst_s(table))
    errors = np.log(predicted_s / data.timed_s[few])
    return [*found, *zip(known_by[few].tolist(), errors.tolist(), strict=True)]


def _predict(
    held_out: Sequence[LeafModel], table: LeafTable, ask: Callable[[LeafModel, LeafTable], FloatArray]
) -> FloatArray:
    """What `ask` says of each row by the model that has not seen its site, shape (rows,)."""
    folds = site_folds(table.calls)
    answers = np.zeros(len(folds))
    for fold, model in enumerate(held_out):
        members = folds == fold
        if members.any():
            answers[members] = ask(model, table.take(members))
    return answers
