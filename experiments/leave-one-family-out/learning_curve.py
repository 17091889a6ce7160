"""What more timings would buy: the error of time on held-out sites, with a part of the other sites in training.

The survey teaches as it does, all of it but the held-out sites: it is the timings that are cut. The parts are nested:
the half contains the quarter. Only the leaves are fitted; whole models need no part in this.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from irene.dataset.schema import ROW_FIELDS
from irene.evaluation.error_table import LONG_FROM_S, part_of
from irene.evaluation.metrics import absolute_percentage_errors
from irene.evaluation.splits import Mask, leave_sites_out, site_of
from irene.hardware.devices import load_device
from irene.leaves.survey_prior import Survey
from irene.predictor.training import fit_leaf_ensembles
from irene.predictor.training_data import gather_primitives
from irene.primitives.sites import site_of_call

SHARES_PCT = (25, 50, 75, 100)


def judge_curve(
    rows: pd.DataFrame, survey: Survey | None, seed: int = 0, jobs: int = 2, folds: int = 5
) -> pd.DataFrame:
    """One row a share of the sites and held-out primitive above 20 us.

    Columns: `share_pct`, `part`, `site`, `error_pct`, and `timings`, how many there were in training.
    """
    rows = rows[list(ROW_FIELDS)]
    tasks = [(fold.train, fold.test, share) for fold in leave_sites_out(rows, folds, seed) for share in SHARES_PCT]
    parts = Parallel(n_jobs=jobs)(delayed(_judge)(rows, survey, *task, seed) for task in tasks)
    return pd.concat(parts, ignore_index=True)


def tabulate_curve(judged: pd.DataFrame) -> pd.DataFrame:
    """Site means by part and share, and what the power law through them says of twice and four times as many sites."""
    by_site = judged.groupby(["part", "share_pct", "site"])["error_pct"].mean()
    means = by_site.groupby(level=["part", "share_pct"]).mean().unstack("share_pct")
    slope = pd.Series({part: np.polyfit(np.log(means.columns), np.log(row), 1)[0] for part, row in means.iterrows()})
    table = means.rename(columns=lambda share: f"{share} % of the sites")
    for times in (2, 4):
        table[f"{times} x the sites, extrapolated"] = means[SHARES_PCT[-1]] * times**slope
    timings = judged[judged["share_pct"] == SHARES_PCT[-1]].groupby("part")["timings"].mean()
    table.insert(0, "timings of all sites", timings.round().astype(int))
    return table.reset_index()


def _judge(
    rows: pd.DataFrame, survey: Survey | None, train: Mask, test: Mask, share_pct: int, seed: int
) -> pd.DataFrame:
    spec = load_device("h200")
    taught = rows[train]
    site_by_signature = {signature: str(site_of(signature)) for signature in taught["signature"].unique()}
    sites = np.array(sorted(set(site_by_signature.values())))
    chosen = set(np.random.default_rng(seed).permutation(sites)[: round(len(sites) * share_pct / 100)])
    data = gather_primitives(taught[taught["signature"].map(site_by_signature).isin(chosen)], spec)
    held_out = gather_primitives(rows[test], spec)
    if survey is not None:
        data = replace(data, survey=survey.without_sites({site_of(signature) for signature in rows[test]["signature"]}))
    predicted_s = fit_leaf_ensembles(data, spec, seed).predict_burst_s(held_out.timed)
    errors_pct = absolute_percentage_errors(held_out.timed_s, predicted_s)
    parts, taught_parts = (part_of(pd.Series(table.kinds)) for table in (held_out.timed, data.timed))
    counts = taught_parts.value_counts()
    judged = pd.DataFrame({
        "share_pct": share_pct, "part": parts, "site": [str(site_of_call(call)) for call in held_out.timed.calls],
        "error_pct": errors_pct, "timings": parts.map(counts),
    })  # fmt: skip
    return judged[held_out.timed_s > LONG_FROM_S]
