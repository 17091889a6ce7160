"""Predictions for GPUs that nobody here measured, beside what others measured on them: zero-shot, spec sheets alone.

    python experiments/other-gpus/run.py REFERENCE [--most 3000] [--output FOLDER]

REFERENCE is a folder with others' tables (the README says which). Writes `table.csv`: errors by set, of the transfer
and of baselines. CPU only, some minutes.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from kernels import judge_attention, judge_float32, judge_products
from models import CONVOLUTIONS, judge_models

from irene.predictor.bundle import load_bundle, shipped_bundle
from irene.predictor.intervals import LEVEL

_TIME = ("predicted_s", "between_s", "burst_s", "roofline_s", "same_s")


def mape_pct(predicted: pd.Series, measured: pd.Series) -> float:
    return float(100.0 * (predicted / measured - 1.0).abs().mean())


def summarise(cases: pd.DataFrame, what: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """One row a set: mean errors of each column, bias of the first."""
    rows = []
    for name, part in cases.groupby("set", sort=False):
        measured = part[f"measured_{what}"]
        known = [column for column in columns if column in part]
        row = {"set": name, "quantity": {"s": "time", "j": "joules"}[what], "cases": len(part)}
        row |= {f"{column.rpartition('_')[0]}_mape_pct": round(mape_pct(part[column], measured), 1) for column in known}
        log_errors = np.log(part[known[0]] / measured)
        row["bias_pct"] = round(100 * (math.exp(log_errors.mean()) - 1), 1)
        row["p90_log_error"] = round(float(log_errors.abs().quantile(LEVEL)), 3)
        if what == "j":
            inside = (part.low_j <= measured) & (measured <= part.high_j)
            row["covered_pct"] = round(100 * float(inside.mean()), 1)
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--most", type=int, default=3000, help="rows of a table, drawn with one seed")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    measured = load_bundle(shipped_bundle("h200"))
    judges: list[Callable[..., pd.DataFrame]] = [judge_products, judge_float32, judge_attention]
    tables = [summarise(judge(given.reference, measured, given.most), "s", _TIME) for judge in judges]
    models = judge_models(given.reference, measured)
    by_model = models.assign(set="models: " + models.model + ", " + models.dtype)
    transformers = models[~models.model.isin(CONVOLUTIONS)]
    transformers = transformers.assign(set=transformers.set + ", Transformers")
    for cases in (models, transformers, by_model):
        tables += [summarise(cases, what, (f"predicted_{what}", f"same_{what}")) for what in ("s", "j")]
    table = pd.concat(tables, ignore_index=True)
    table.to_csv(given.output / "table.csv", index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
