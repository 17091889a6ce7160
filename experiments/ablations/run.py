"""What does each part of the predictor buy? Families held out, one part taken out at a time. Writes table.csv, README.

python experiments/ablations/run.py [--seeds 0] [--families t5 opt] [--jobs 2] [--data data/h200]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
from joblib import Parallel, delayed
from leaves import fit_blind_leaves, fit_gp_leaves, fit_linear_leaves, fit_tree_leaves, fit_uncapped_leaves

from irene.dataset.schema import ROW_FIELDS
from irene.dataset.store import load_rows
from irene.dataset.summary import to_markdown
from irene.evaluation.judging import judge
from irene.evaluation.metrics import absolute_percentage_errors, family_mean_mape_pct
from irene.evaluation.noise import GPU_BOUND, HOST_BOUND, regime_of
from irene.evaluation.splits import Fold, leave_one_family_out
from irene.hardware.devices import load_device
from irene.leaves.survey_prior import Survey, gather_survey
from irene.predictor.aggregation import NEUTRAL
from irene.predictor.predictor import Predictor
from irene.predictor.training import FitLeaves, fit
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
Build = Callable[[pd.DataFrame, int, Survey | None, Predictor], Predictor]
FULL = "full"


def leaving(fit_leaves: FitLeaves) -> Build:
    """A predictor whose leaves lack a part."""
    return lambda rows, seed, survey, full: fit(rows, seed, fit_leaves=fit_leaves, survey=survey)


# Training rows, a seed, the survey and the full predictor -> one without a part.
VARIANTS: dict[str, Build] = {
    FULL: lambda rows, seed, survey, full: full,
    "no survey of products": lambda rows, seed, survey, full: fit(rows, seed),
    "no survey, no candidates of tiles and waves": leaving(fit_blind_leaves),
    "trees alone": leaving(fit_tree_leaves),
    "Gaussian processes alone": leaving(fit_gp_leaves),
    "no power cap": leaving(fit_uncapped_leaves),
    "no timeline of the host": lambda rows, seed, survey, full: replace(full, host=replace(full.host, factor=0.0)),
    "no learned aggregation": lambda rows, seed, survey, full: replace(full, weights=NEUTRAL),
    "linear leaves": leaving(fit_linear_leaves),
}
WITH_RUN = "full, and the run watched"
GROUPS = (
    ("models, eager, GPU-bound", "model", "eager", GPU_BOUND),
    ("models, captured", "model", "cuda_graph", GPU_BOUND),
    ("models, eager, host-bound", "model", "eager", HOST_BOUND),
    ("modules, eager, GPU-bound", "module", "eager", GPU_BOUND),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "h200")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--families", nargs="+", help="print the table of these only, and write nothing")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()

    rows = load_rows(options.data)[list(ROW_FIELDS)]
    survey = gather_survey(options.data, rows, load_device("h200"))
    folds = [fold for fold in leave_one_family_out(rows, options.families) if is_whole(rows)[fold.test].any()]
    print(f"{len(folds)} families x {len(options.seeds)} seeds, some minutes each on one core", file=sys.stderr)
    tasks = [(fold, seed) for seed in options.seeds for fold in folds]
    judged = pd.concat(Parallel(n_jobs=options.jobs)(delayed(judge_fold)(rows, survey, *task) for task in tasks))
    table = tabulate(judged)
    if options.families:
        print(table.to_string(index=False))
        return
    table.to_csv(HERE / "table.csv", index=False, float_format="%.4g")
    write_between_marks(HERE / "README.md", to_markdown(lay_out(table)))


def is_whole(rows: pd.DataFrame) -> pd.Series:
    return rows["level"] != "primitive"


def judge_fold(rows: pd.DataFrame, survey: Survey | None, fold: Fold, seed: int) -> pd.DataFrame:
    """The modules and models of a family, judged by every variant, none of which has seen it."""
    started = time.perf_counter()
    train = rows[fold.train].reset_index(drop=True)
    test = rows[fold.test & is_whole(rows)].reset_index(drop=True)
    full, spec = fit(train, seed, survey=survey), load_device("h200")
    parts = []
    for name, build in VARIANTS.items():
        judged = judge(build(train, seed, survey, full), test, train, spec)
        parts.append(judged.assign(variant=name))
        if name == FULL:
            known = judged[judged["watched_energy_j"].notna()]
            parts.append(known.assign(variant=WITH_RUN, predicted_energy_j=known["watched_energy_j"]))
    print(f"{fold.name}, seed {seed}: {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return pd.concat(parts).assign(family=fold.name, seed=seed)


def tabulate(judged: pd.DataFrame) -> pd.DataFrame:
    """One row a (variant, group, seed): family mean of the absolute error and median of the signed one, in per cent."""
    regimes = judged["gpu_utilization_pct"].astype(float).map(regime_of)
    rows = []
    for variant in (*VARIANTS, WITH_RUN):
        for title, level, execution, regime in GROUPS:
            here = (judged["variant"] == variant) & (judged["level"] == level) & (judged["execution"] == execution)
            for seed, cases in judged[here & (regimes == regime)].groupby("seed"):
                measured, predicted = cases["measured_energy_j"], cases["predicted_energy_j"]
                errors = absolute_percentage_errors(measured, predicted)
                rows.append({
                    "variant": variant, "group": title, "seed": seed, "cases": len(cases),
                    "families": cases["family"].nunique(),
                    "family_mean_pct": family_mean_mape_pct(errors, cases["family"]),
                    "bias_pct": float(100 * (predicted / measured - 1).median()),
                })  # fmt: skip
    return pd.DataFrame(rows)


def lay_out(table: pd.DataFrame) -> pd.DataFrame:
    """One row a variant, one column a group: 'family mean (bias)', means over seeds."""
    means = table.groupby(["variant", "group"])[["family_mean_pct", "bias_pct"]].mean()
    texts = means.apply(lambda row: f"{row['family_mean_pct']:.1f} ({row['bias_pct']:+.1f})", axis=1).unstack("group")
    shown = texts.loc[[*VARIANTS, WITH_RUN], [title for title, *_ in GROUPS]]
    return (
        shown.rename_axis(columns=None).reset_index().rename(columns={"variant": "energy error %, family mean (bias)"})
    )


if __name__ == "__main__":
    main()
