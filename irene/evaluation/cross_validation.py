"""Leave-one-family-out, leave-sites-out and the reserve: fit without them, judge on them, collect the judged cases."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
import pandas as pd

from irene.dataset.schema import ROW_FIELDS
from irene.errors import BadDataset
from irene.evaluation.judging import Judged, judge
from irene.evaluation.splits import Fold, leave_one_family_out, leave_reserve_out, leave_sites_out, site_of
from irene.hardware.spec import load_device
from irene.predictor.survey import Survey

Fit: TypeAlias = Callable[..., Judged]
"""Rows (columns of `Row`) and a seed -> a predictor; it gets training rows only.

Where there is a survey it is given as `survey`, without the sites of a site fold; its products are the grid's, of no
family, and none of them is a call that was measured.
"""

FAMILY, SITE, RESERVE = "family", "site", "reserved family"


def cross_validate(
    rows: pd.DataFrame,
    seed: int = 0,
    *,
    fit: Fit | None = None,
    reserve: bool = False,
    site_folds: int = 5,
    jobs: int = 2,
    survey: Survey | None = None,
) -> pd.DataFrame:
    """Judged cases (the columns of `judge`) of every fold; `held_out` says what the fold held out, `family` its name.

    `held_out` is 'family': one family left out, all its cases judged, primitives, modules and models; 'site': whole
    sites left out of the primitives (`family` is then the site), modules and models not used at all; with `reserve`,
    also 'reserved family': fitted on all others. Look at those once per release: nothing may be chosen by them.

    `fit` is by default `irene.predictor.training.fit`; `jobs` processes fit side by side. Raises `BadDataset` if there
    is no fold.
    """
    if fit is None:
        from irene.predictor import training

        fit = training.fit
    folds = [(FAMILY, fold) for fold in leave_one_family_out(rows)]
    folds += [(SITE, fold) for fold in leave_sites_out(rows, site_folds, seed)] if site_folds else []
    folds += [(RESERVE, fold) for fold in leave_reserve_out(rows)] if reserve else []
    if not folds:
        raise BadDataset("No family can be held out: at least two families with rows of their own are needed.")
    plain = rows[list(ROW_FIELDS)]
    tasks = _group_by_training(folds)
    if jobs == 1 or len(tasks) == 1:
        parts = [_judge_folds(fit, plain, group, seed, survey) for group in tasks]
    else:
        # scikit-learn brings joblib; its worker processes need no guard in the script that calls this.
        from joblib import Parallel, delayed  # type: ignore[import-untyped]

        parts = Parallel(n_jobs=jobs)(delayed(_judge_folds)(fit, plain, group, seed, survey) for group in tasks)
    return pd.concat(parts, ignore_index=True)


def _judge_folds(
    fit: Fit, rows: pd.DataFrame, folds: Iterable[tuple[str, Fold]], seed: int, survey: Survey | None
) -> pd.DataFrame:
    """Folds with one training set: fit once, judge each."""
    folds, spec = list(folds), load_device("h200")
    train = rows[folds[0][1].train].reset_index(drop=True)
    if survey is None:
        predictor = fit(train, seed)
    else:
        away = [fold for kind, fold in folds if kind == SITE]
        sites = {site_of(signature) for fold in away for signature in set(rows.loc[fold.test, "signature"])}
        predictor = fit(train, seed, survey=survey.without_sites(sites) if sites else survey)
    parts = []
    for held_out, fold in folds:
        judged = judge(predictor, rows[fold.test].reset_index(drop=True), train, spec)
        names = [fold.name] * len(judged)
        if held_out == SITE:
            names = [" ".join(map(str, site_of(signature))) for signature in judged["signature"]]
        judged.insert(0, "held_out", held_out)
        judged.insert(1, "family", names)
        parts.append(judged)
    return pd.concat(parts, ignore_index=True)


def _group_by_training(folds: list[tuple[str, Fold]]) -> list[list[tuple[str, Fold]]]:
    """The reserved families' folds share their training set: they need one fit."""
    groups: dict[bytes, list[tuple[str, Fold]]] = {}
    for held_out, fold in folds:
        groups.setdefault(np.packbits(fold.train).tobytes(), []).append((held_out, fold))
    return list(groups.values())
