"""What a call of a form that was never timed is wrong by: whole forms held out, time only.

Regressors carry over from one form to another where columns say the same of both (a pointwise pass is a pointwise
pass, a product a product) and fail where kernels differ (a convolution in groups, a sort). How far, only forms that
were held out can say. Attention and low precision are left out: they have one form a regressor, so that nothing would
be left to learn from. Products as TF32 are, too: two other sets of kernels say the same of theirs.
"""

from __future__ import annotations

import zlib

import numpy as np

from irene.arrays import FloatArray, IntArray
from irene.leaves.leaf_model import FEWEST_ROWS, fit_time
from irene.leaves.leaf_table import LeafTable
from irene.predictor.intervals import FormError
from irene.primitives.forms import form_of
from irene.primitives.stacks import words_of

JUDGED = (
    "gemm-half", "gemm-single", "gemm-convolution", "gemm-convolution-in-groups", "gemm-convolution-depthwise",
    "gemm-grouped", "vector-pointwise", "vector-rowwise", "vector-images", "vector-sums-by-index",
)  # fmt: skip
"""The regressors of time whose forms are held out."""
_FOLDS = 3
_MOST_LEARNED = 4000  # rows that a regressor learns from: of another form, more say nothing more


def hold_out_forms(timed: LeafTable, timed_s: FloatArray, seed: int = 0) -> list[FormError]:
    """The error of each call in `timed`, whose seconds are `timed_s`, shape (rows,).

    Forms of a regressor are dealt to three folds.
    """
    found: list[FormError] = []
    rng = np.random.default_rng(seed)
    known_by = timed.known_by.tolist()
    for name in JUDGED:
        members = timed.members_of(name)
        forms = words_of(form_of, [timed.calls[row] for row in members])
        fold_of = {form: at % _FOLDS for at, form in enumerate(sorted(set(forms), key=_mix))}
        folds = np.array([fold_of[form] for form in forms], dtype=np.int64)
        for fold in range(_FOLDS):
            asked = np.flatnonzero(folds == fold)
            learned = members[folds != fold]
            if len(learned) > _MOST_LEARNED:
                learned = np.sort(rng.choice(learned, _MOST_LEARNED, replace=False))
            if len(asked) and len(learned) >= FEWEST_ROWS:
                errors = _errors(timed, timed_s, name, learned, members[asked], seed)
                for at, error in zip(asked.tolist(), errors.tolist(), strict=True):
                    found.append(FormError(known_by[members[at]], name, forms[at], error))
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
