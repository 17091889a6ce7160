"""What a call of a form that was never timed is wrong by: whole forms held out, time only.

Regressors carry over from one form to another where columns say the same of both (a pointwise pass is a pointwise
pass) and fail where kernels differ (a convolution in groups, a sort). How far, only forms that were held out can say.
Matrix products, attention and low precision are left out: of products all layouts were timed, and the others have one
form a regressor, so that nothing would be left to learn from.
"""

from __future__ import annotations

import zlib

import numpy as np

from irene.arrays import FloatArray, IntArray
from irene.leaves.leaf_model import FEWEST_ROWS, fit_time
from irene.leaves.leaf_table import LeafTable
from irene.primitives.forms import form_of
from irene.primitives.stacks import words_of

JUDGED = (
    "gemm-convolution", "gemm-convolution-in-groups", "gemm-convolution-depthwise", "gemm-grouped", "vector-pointwise",
    "vector-rowwise", "vector-images", "vector-sums-by-index",
)  # fmt: skip
"""The regressors of time whose forms are held out."""
_FOLDS = 3


def hold_out_forms(timed: LeafTable, timed_s: FloatArray, seed: int = 0) -> list[tuple[str, str, float]]:
    """(what it is known by, form, log of predicted over timed seconds) of each call, by what has seen none of its form.

    `timed_s` are the seconds of the rows of `timed`, shape (rows,). Forms of a regressor are dealt to three folds.
    """
    found: list[tuple[str, str, float]] = []
    known_by = timed.known_by.tolist()
    for name in JUDGED:
        members = timed.members_of(name)
        forms = words_of(form_of, [timed.calls[row] for row in members])
        fold_of = {form: at % _FOLDS for at, form in enumerate(sorted(set(forms), key=_mix))}
        folds = np.array([fold_of[form] for form in forms], dtype=np.int64)
        for fold in range(_FOLDS):
            asked = np.flatnonzero(folds == fold)
            learned = members[folds != fold]
            if len(asked) and len(learned) >= FEWEST_ROWS:
                errors = _errors(timed, timed_s, name, learned, members[asked], seed)
                kinds = (known_by[row] for row in members[asked])
                found += zip(kinds, (forms[at] for at in asked), errors.tolist(), strict=True)
    return found


def _errors(
    timed: LeafTable, timed_s: FloatArray, name: str, learned: IntArray, asked: IntArray, seed: int
) -> FloatArray:
    """Log errors of the rows `asked` by a regressor of the rows `learned`, never below the least time."""
    names, base_s = timed.names_of(name), timed.base_s
    regressor = fit_time(name, timed.matrix(name, learned), names, np.log(timed_s[learned] / base_s[learned]), seed)
    predicted_s = base_s[asked] * np.exp(regressor.predict(timed.matrix(name, asked), names))
    errors: FloatArray = np.log(np.maximum(predicted_s, timed.least_s[asked]) / timed_s[asked])
    return errors


def _mix(form: str) -> int:
    """An order that no run changes, and that has nothing to do with what a form is."""
    return zlib.crc32(form.encode())
