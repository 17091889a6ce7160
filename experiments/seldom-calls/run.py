"""Do errors of distinct calls of a kind that models seldom have go together? Writes the table of the README.

python experiments/seldom-calls/run.py [--data data/h200]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from irene.dataset.row_devices import find_device
from irene.dataset.store import load_rows
from irene.dataset.summary import to_markdown
from irene.leaves.kernel_sets import HALF_DTYPES, SELDOM
from irene.leaves.leaf_model import fit_leaf_model
from irene.predictor.training_data import SITE_FOLDS, gather_primitives, site_folds
from irene.primitives.forms import form_of
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
_TAILS = (0.02, 0.98)  # an error beyond is counted as one at that quantile: few would decide else
_ALIKE_LOG2 = np.log2(1.3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=ROOT / "data" / "h200")
    rows = load_rows(parser.parse_args().data)
    errors = hold_out(rows)
    table = pd.concat([correlate(kind, own) for kind, own in errors.groupby("kind")])
    write_between_marks(HERE / "README.md", to_markdown(table), "<!-- pairs: begin -->", "<!-- pairs: end -->")


def hold_out(rows: pd.DataFrame) -> pd.DataFrame:
    """Log errors of time of each timed call of SELDOM, by what has not seen its site."""
    spec = find_device(rows)
    data = gather_primitives(rows, spec)
    timed, metered = data.timed, data.metered
    asked = np.flatnonzero(np.isin(timed.known_by, SELDOM) & timed.launches)
    folds, metered_folds = site_folds(timed.calls), site_folds(metered.calls)
    kernels = np.isin(timed.regressors, sorted({timed.regressors[row] for row in asked}))
    predicted_s = np.zeros(len(timed.calls))
    for fold in range(SITE_FOLDS):
        seen, own = np.flatnonzero(kernels & (folds != fold)), np.flatnonzero(metered_folds != fold)
        model = fit_leaf_model(
            timed.take(seen), data.timed_s[seen], metered.take(own), data.metered_s[own], data.metered_w[own],
            data.burst_s[own], spec,
        )  # fmt: skip
        members = asked[folds[asked] == fold]
        predicted_s[members] = model.predict_burst_s(timed.take(members))
    return pd.DataFrame({
        "kind": timed.known_by[asked], "form": [form_of(timed.calls[row]) for row in asked],
        "half": [timed.dtypes[row] in HALF_DTYPES for row in asked],
        "log2_s": np.log2(data.timed_s[asked]), "error": np.log(predicted_s[asked] / data.timed_s[asked]),
    })  # fmt: skip


def correlate(kind: str, calls: pd.DataFrame) -> pd.DataFrame:
    """Mean product of two calls' errors over their variance, of pairs that are more and more alike."""
    error = (calls["error"] - calls["error"].mean()).clip(*calls["error"].quantile(list(_TAILS))).to_numpy()
    error = error - error.mean()
    one, other = np.triu_indices(len(calls), 1)
    form, half, log2_s = (calls[name].to_numpy() for name in ("form", "half", "log2_s"))
    same = (form[one] == form[other]) & (half[one] == half[other])
    near = same & (np.abs(log2_s[one] - log2_s[other]) < _ALIKE_LOG2)
    rows = []
    for pairs, which in (("any", np.ones_like(same)), ("one form and precision", same), ("and as long", near)):
        products = (error[one] * error[other])[which] / error.var()
        rows.append({
            "kind": kind, "calls": len(calls), "error, median %": round(100 * np.expm1(np.median(np.abs(error))), 1),
            "pairs of": pairs, "pairs": len(products), "correlation": round(float(products.mean()), 2),
        })  # fmt: skip
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
