"""How many points a leaf regressor's Gaussian process needs: error, seconds and size, with whole sites held out.

    python experiments/inducing-points/run.py [--regressors NAME ...]

Writes `points.csv` and the table of the README. Rows of the reserved families are left out.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from irene.dataset.families import reserved_families
from irene.dataset.store import load_rows
from irene.dataset.summary import to_markdown
from irene.hardware.devices import load_device
from irene.leaves.kernel_sets import REGRESSORS
from irene.leaves.leaf_model import TIME_SETTINGS, fit_time
from irene.leaves.learners.ensemble import fit_trees, gains_of
from irene.leaves.learners.sparse_gp import fit_sparse_gp
from irene.leaves.survey_prior import Survey, fit_surveyed, gather_survey
from irene.predictor.training_data import PrimitiveData, gather_primitives
from irene.primitives.sites import site_of_call
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "data" / "h200"
# The most points, and how far apart they lie at least, in length scales. With every row a point it takes minutes.
LIMITS = ((300, 0.03), (600, 0.03), (1000, 0.03), (2000, 0.03), (3000, 0.03))
FOLDS = 6
SHORTEST_S = 20e-6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--regressors", nargs="+", default=REGRESSORS)
    arguments = parser.parse_args()
    rows = load_rows(DATA)
    reserved = reserved_families()
    rows = rows[~rows["families"].map(lambda families: set(families.split(",")) <= reserved)]
    spec = load_device("h200")
    data, survey = gather_primitives(rows, spec), gather_survey(DATA, rows, spec)
    table = pd.DataFrame([row for name in arguments.regressors for row in judge(data, survey, name)])
    table.to_csv(HERE / "points.csv", index=False)
    write_between_marks(HERE / "README.md", to_markdown(table))


def judge(data: PrimitiveData, survey: Survey | None, regressor: str) -> list[dict[str, object]]:
    """One row a limit: errors of the ensemble and of the process alone on sites held out, and what they cost.

    Where there is a survey both stand on its regressor, which has not seen the sites either.
    """
    timed = data.timed
    members = np.flatnonzero((np.array(timed.regressors) == regressor) & timed.launches)
    names = timed.names_of(regressor)
    features, measured_s = timed.matrix(regressor, members), data.timed_s[members]
    target = np.log(measured_s / timed.base_s[members])
    own_sites = [site_of_call(timed.calls[i]) for i in members]
    sites = np.array([repr(site) for site in own_sites])
    folds = np.array([int(hashlib.sha256(site.encode()).hexdigest()[:8], 16) % FOLDS for site in sites])
    answers = {limit: np.zeros((2, len(members))) for limit in LIMITS}
    costs: dict[tuple[int, float], list[tuple[float, ...]]] = {limit: [] for limit in LIMITS}
    for fold in range(FOLDS):
        taught, asked = folds != fold, folds == fold
        away = {site for site, out in zip(own_sites, asked, strict=True) if out}
        prior = fit_surveyed(survey.without_sites(away)).get(regressor) if survey else None
        fitted = fit_time(regressor, features[taught], names, target[taught], surveyed=prior)
        seen, below = features[:, [names.index(name) for name in fitted.names]], np.zeros(len(members))
        own = seen
        if prior is not None:
            below = prior.predict(features)
            seen = np.column_stack([own, below])
        trees = fit_trees(seen[taught], (target - below)[taught], TIME_SETTINGS, seed=0)
        gains = gains_of(trees, seen.shape[1])
        for most, apart in LIMITS:
            start_s = time.perf_counter()
            gp = fit_sparse_gp(seen[taught], (target - below)[taught], gains, most_points=most, least_apart=apart)
            fitted_s = time.perf_counter()
            alone = below[asked] + gp.predict(seen[asked])
            predicted_s = time.perf_counter()
            answers[most, apart][:, asked] = replace(fitted.ensemble, gp=gp).predict(own[asked]), alone
            per_1000 = (predicted_s - fitted_s) / asked.sum() * 1000
            costs[most, apart].append((taught.sum(), len(gp.inducing_points), fitted_s - start_s, per_1000))
    rows = []
    for (most, apart), predicted in answers.items():
        errors_pct = 100 * np.abs(np.exp(predicted - target) - 1)
        of_ensemble, alone_pct = (mean_over_sites(e, sites, measured_s > SHORTEST_S) for e in errors_pct)
        taught_rows, points, fit_s, predict_s = np.mean(costs[most, apart], axis=0)
        rows.append({
            "regressor": regressor, "most points": most, "apart": apart,
            "rows taught": round(taught_rows), "points": round(points), "ensemble_mape_pct": f"{of_ensemble:.3f}",
            "process_mape_pct": f"{alone_pct:.3f}", "fit_s": f"{fit_s:.2f}", "predict_1000_s": f"{predict_s:.3f}",
        })  # fmt: skip
    return rows


def mean_over_sites(errors_pct: np.ndarray, sites: np.ndarray, keep: np.ndarray) -> float:
    """The mean of each site's mean."""
    return float(pd.Series(errors_pct[keep]).groupby(sites[keep]).mean().mean())


if __name__ == "__main__":
    main()
