"""Leave-one-family-out, leave-sites-out and the reserve: fit without them, judge on them, collect the judged cases."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
import pandas as pd

from irene.cores import count_cores
from irene.dataset.row_devices import find_device
from irene.dataset.schema import ROW_FIELDS
from irene.errors import BadDataset
from irene.evaluation.judging import Judged, judge
from irene.evaluation.splits import Fold, leave_one_family_out, leave_reserve_out, leave_sites_out, site_of
from irene.leaves.learners.fit_cache import share_fits
from irene.leaves.survey_prior import Survey, fit_ahead, list_fits
from irene.predictor.training_data import SITE_FOLDS
from irene.primitives.sites import Site

Fit: TypeAlias = Callable[..., Judged]
"""Rows (columns of `Row`) and a seed -> a predictor; it gets training rows only.

Where there is a survey it is given as `survey`, without the sites of a site fold; its products are random shapes, of no
family, and none of them is a call that was measured.
"""

FAMILY, SITE, RESERVE = "family", "site", "reserved family"


def cross_validate(
    rows: pd.DataFrame,
    seeds: Sequence[int] = (0,),
    *,
    fit: Fit | None = None,
    reserve: bool = False,
    site_folds: int = 5,
    jobs: int | None = None,
    survey: Survey | None = None,
    keep: Path | None = None,
) -> dict[int, pd.DataFrame]:
    """By seed the judged cases (the columns of `judge`) of every fold.

    `held_out` says what a fold held out, `family` its name: 'family': one family left out, all its cases judged,
    primitives, modules and models; 'site': whole sites left out of the primitives (`family` is then the site), modules
    and models not used at all; with `reserve`, also 'reserved family': fitted on all others. Look at those once per
    release: nothing may be chosen by them.

    `fit` is by default `irene.predictor.training.fit`; `jobs` processes, by default one a core, work side by side, and
    share what they fit. Folds that a folder `keep` holds are read from it, others are written there: it belongs to one
    dataset, one version of the code and one `fit`. What surveys taught is kept in `fits` beside it, by the numbers that
    it was taught from: whatever else changes, the next run finds it. Raises `BadDataset` if there is no fold.
    """
    jobs = jobs or count_cores()
    if fit is None:
        from irene.predictor import training

        fit = training.fit
    plain = rows[list(ROW_FIELDS)]
    by_family = [(FAMILY, fold) for fold in leave_one_family_out(rows)]
    by_family += [(RESERVE, fold) for fold in leave_reserve_out(rows)] if reserve else []
    tasks = []
    for seed in dict.fromkeys(seeds):
        # Sites first: they take longest.
        by_site = [(SITE, fold) for fold in leave_sites_out(rows, site_folds, seed)] if site_folds else []
        tasks += [(seed, group) for group in _group_by_training(by_site + by_family)]
    if not tasks:
        raise BadDataset("No family can be held out: at least two families with rows of their own are needed.")
    with TemporaryDirectory() if keep is None else nullcontext(str(keep.parent / "fits")) as folder:
        shared = Path(folder)
        shared.mkdir(parents=True, exist_ok=True)
        if jobs == 1 or len(tasks) == 1:
            parts = [_judge_once(fit, plain, group, seed, survey, keep, shared) for seed, group in tasks]
        else:
            parts = _judge_side_by_side(fit, plain, tasks, survey, jobs, keep, shared)
    judged: dict[int, dict[str, list[pd.DataFrame]]] = {seed: {} for seed in seeds}
    for (seed, group), part in zip(tasks, parts, strict=True):
        judged[seed].setdefault(group[0][0], []).append(part)
    order = (FAMILY, SITE, RESERVE)
    return {
        seed: pd.concat([part for held_out in order for part in of_seed.get(held_out, [])], ignore_index=True)
        for seed, of_seed in judged.items()
    }


def _judge_side_by_side(
    fit: Fit, rows: pd.DataFrame, tasks: list[tuple[int, list[tuple[str, Fold]]]], survey: Survey | None, jobs: int,
    keep: Path | None, shared: Path,
) -> list[pd.DataFrame]:  # fmt: skip
    # scikit-learn brings joblib; its worker processes need no guard in the script that calls this.
    from joblib import Parallel, delayed  # type: ignore[import-untyped]

    pool = Parallel(n_jobs=jobs, batch_size=1)
    if survey is not None:
        left = [(seed, group) for seed, group in tasks if not (keep and _kept_at(keep, seed, group).exists())]
        sites = [(seed, _sites_away(rows, group)) for seed, group in left]
        asked = dict.fromkeys(one for seed, away in sites for one in list_fits(survey, away, SITE_FOLDS, seed))
        pool(delayed(fit_ahead)(survey, one, SITE_FOLDS, shared) for one in asked)
    parts: list[pd.DataFrame] = pool(
        delayed(_judge_once)(fit, rows, group, seed, survey, keep, shared) for seed, group in tasks
    )
    return parts


def _judge_once(
    fit: Fit, rows: pd.DataFrame, folds: list[tuple[str, Fold]], seed: int, survey: Survey | None,
    keep: Path | None, shared: Path,
) -> pd.DataFrame:  # fmt: skip
    """What is kept of these folds, or what comes of judging them."""
    share_fits(shared)
    if keep is None:
        return _judge_folds(fit, rows, folds, seed, survey)
    path = _kept_at(keep, seed, folds)
    if not path.exists():
        keep.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")
        _judge_folds(fit, rows, folds, seed, survey).to_parquet(part)
        part.replace(path)
    return pd.read_parquet(path)


def _kept_at(keep: Path, seed: int, folds: list[tuple[str, Fold]]) -> Path:
    text = repr([(held_out, fold.name, fold.train.tobytes(), fold.test.tobytes()) for held_out, fold in folds])
    return keep / f"{seed}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.parquet"


def _judge_folds(
    fit: Fit, rows: pd.DataFrame, folds: list[tuple[str, Fold]], seed: int, survey: Survey | None
) -> pd.DataFrame:
    """Folds with one training set: fit once, judge each."""
    spec = find_device(rows)
    train = rows[folds[0][1].train].reset_index(drop=True)
    if survey is None:
        predictor = fit(train, seed)
    else:
        sites = _sites_away(rows, folds)
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


def _sites_away(rows: pd.DataFrame, folds: list[tuple[str, Fold]]) -> frozenset[Site]:
    """The sites that these folds hold out, which no survey may show."""
    away = [fold for kind, fold in folds if kind == SITE]
    return frozenset(site_of(signature) for fold in away for signature in set(rows.loc[fold.test, "signature"]))


def _group_by_training(folds: list[tuple[str, Fold]]) -> list[list[tuple[str, Fold]]]:
    """The reserved families' folds share their training set: they need one fit."""
    groups: dict[bytes, list[tuple[str, Fold]]] = {}
    for held_out, fold in folds:
        groups.setdefault(np.packbits(fold.train).tobytes(), []).append((held_out, fold))
    return list(groups.values())
