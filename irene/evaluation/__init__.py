"""Errors of predictions on what the predictor has not seen: whole families held out, measured rows as the truth."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from irene.evaluation.cross_validation import Fit

__all__ = ["evaluate", "judge_dataset", "judge_seeds"]


def evaluate(dataset_dir: str | Path, seed: int = 0, *, reserve: bool = False) -> pd.DataFrame:
    """The table of errors of a dataset (`tabulate_errors`): leave one family out, and whole sites of primitives.

    With `reserve`, also the reserved families, judged apart by a predictor that is fitted on all others. They are for
    the one judgement of a release: no choice may be made by looking at them. Takes most of
    an hour on two cores.

    Raises `BadDataset` for an unreadable dataset, or one of less than two families.
    """
    from irene.evaluation.error_table import tabulate_errors

    return tabulate_errors(judge_dataset(dataset_dir, seed, reserve=reserve)).round(2)


def judge_dataset(
    dataset_dir: str | Path, seed: int = 0, *, reserve: bool = False, fit: Fit | None = None, jobs: int | None = None,
    site_folds: int = 5,
) -> pd.DataFrame:  # fmt: skip
    """The judged cases behind `evaluate`: measured beside predicted, one row a case (`judge`, `cross_validate`).

    See `judge_seeds` for what `fit`, `jobs` and `site_folds` are.
    """
    return judge_seeds(dataset_dir, [seed], reserve=reserve, fit=fit, jobs=jobs, site_folds=site_folds)[seed]


def judge_seeds(
    dataset_dir: str | Path, seeds: Sequence[int], *, reserve: bool = False, fit: Fit | None = None,
    jobs: int | None = None, site_folds: int = 5, keep: Path | None = None,
) -> dict[int, pd.DataFrame]:  # fmt: skip
    """As `judge_dataset`, for several seeds at once: by seed the judged cases.

    `fit` makes a predictor from rows and a seed, and from the survey where there is one (by default the one of
    `irene.predictor.training`). `jobs` processes work side by side, by default one a core. Without `site_folds` no
    sites are held out.
    A folder `keep` holds what was judged so far, for a run that is stopped and started again.
    """
    from irene.dataset.row_devices import find_device
    from irene.dataset.store import load_rows, of_several_gpus
    from irene.dataset.summary import label_runs
    from irene.evaluation.cross_validation import cross_validate
    from irene.evaluation.noise import attach_noise
    from irene.leaves.survey_prior import gather_survey

    rows = load_rows(dataset_dir)
    several = of_several_gpus(rows)
    rows = rows[~several].reset_index(drop=True) if several.any() else rows  # judged on their own
    runs = label_runs(rows, dataset_dir)
    survey = gather_survey(dataset_dir, rows, find_device(rows))
    judged = cross_validate(
        rows, seeds, fit=fit, reserve=reserve, site_folds=site_folds, jobs=jobs, survey=survey, keep=keep
    )
    return {seed: attach_noise(cases, rows.assign(run=runs)) for seed, cases in judged.items()}
