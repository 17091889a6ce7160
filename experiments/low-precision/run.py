"""How wrong are products in low precision where whole sites are held out? Writes cases.csv and the README's tables.

python experiments/low-precision/run.py [--rows data/h200] [--seeds 0 1 2]

A site is all products of one operator, N and K. Times are learned from low precision alone, watts from all windows.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from irene.dataset.row_devices import find_device
from irene.dataset.store import load_rows
from irene.dataset.summary import to_markdown
from irene.hardware.spec import DeviceSpec
from irene.leaves.kernel_sets import LOW_PRECISION
from irene.leaves.leaf_model import fit_leaf_model
from irene.leaves.leaf_table import LeafTable
from irene.predictor.training_data import SITE_FOLDS, PrimitiveData, gather_primitives, site_folds
from irene.primitives.shapes import gemm_shape
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
_JUDGED_FROM_S = 20e-6
_NAMES = {"gemm-fp8": "fp8", "gemm-int8": "int8", "gemm-sparse": "2:4 sparse", "gemm-packed": "packed weights"}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=Path, default=ROOT / "data" / "h200")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=HERE)
    parser.add_argument("--without", help="judge as if a collection were not there; prints, and writes nothing")
    given = parser.parse_args(arguments)
    rows = load_rows(given.rows)
    rows = rows[rows["collection"] != given.without]
    spec = find_device(rows)
    data = gather_primitives(rows, spec)
    cases = pd.concat([judge(data, spec, seed) for seed in given.seeds], ignore_index=True)
    if given.without:
        print(to_markdown(tabulate(cases)))
        return
    cases.to_csv(given.output / "cases.csv", index=False, float_format="%.4g")
    for name, table in (("errors", tabulate(cases)), ("rows", tabulate_rows(cases))):
        marks = (f"<!-- {name}: begin -->", f"<!-- {name}: end -->")
        write_between_marks(given.output / "README.md", to_markdown(table), *marks)


def judge(data: PrimitiveData, spec: DeviceSpec, seed: int) -> pd.DataFrame:
    """A row a call in low precision, timed or metered, predicted by what has not seen its site."""
    found = []
    for fold in range(SITE_FOLDS):
        kept = data.without_site_fold(fold)
        narrow = _narrow(kept.timed)
        model = fit_leaf_model(
            kept.timed.take(narrow), kept.timed_s[narrow], kept.metered, kept.metered_s, kept.metered_w, kept.burst_s,
            spec, seed,
        )  # fmt: skip
        timed = np.flatnonzero(_narrow(data.timed) & (site_folds(data.timed.calls) == fold))
        metered = np.flatnonzero(_narrow(data.metered) & (site_folds(data.metered.calls) == fold))
        table = data.timed.take(timed)
        found.append(_cases(table, "time", seed, model.predict_burst_s(table), data.timed_s[timed], table.base_s))
        table = data.metered.take(metered)
        measured_j = data.metered_s[metered] * data.metered_w[metered]
        cap_j = spec.power_cap_w * table.base_s
        found.append(_cases(table, "energy", seed, model.predict(table).energy_j, measured_j, cap_j).assign(
            measured_s=data.metered_s[metered]
        ))  # fmt: skip
    return pd.concat(found, ignore_index=True)


def _narrow(table: LeafTable) -> np.ndarray:
    return np.isin(table.words("regressors"), LOW_PRECISION)


def _cases(
    table: LeafTable, quantity: str, seed: int, predicted: np.ndarray, measured: np.ndarray, base: np.ndarray
) -> pd.DataFrame:
    return pd.DataFrame({
        "set": [_NAMES.get(name, name) for name in table.regressors],
        "operator": [call.name for call in table.calls],
        "rows": [gemm_shape(call).m for call in table.calls],
        "site": [str(tuple(spec.shape[-2:] for spec in call.tensors[1:2])) for call in table.calls],
        "quantity": quantity, "seed": seed, "predicted": predicted, "measured": measured, "baseline": base,
        "measured_s": measured,
    })  # fmt: skip


def tabulate(cases: pd.DataFrame) -> pd.DataFrame:
    """Mean error over sites of calls above 20 us, least and most over seeds; the baseline is roofline, or x cap."""
    judged = cases[cases["measured_s"] > _JUDGED_FROM_S].copy()
    judged["error"] = 100 * (judged["predicted"] / judged["measured"] - 1).abs()
    judged["of baseline"] = 100 * (judged["baseline"] / judged["measured"] - 1).abs()
    rows = []
    for (which, quantity), own in judged.groupby(["set", "quantity"], sort=False):
        by_seed = own.groupby(["seed", "site"])["error"].mean().groupby("seed").mean()
        first = own[own["seed"] == own["seed"].iloc[0]]
        rows.append({
            "products": which, "quantity": quantity, "calls": len(first), "sites": first["site"].nunique(),
            "site mean %": f"{by_seed.min():.1f} to {by_seed.max():.1f}", "median %": round(first["error"].median(), 1),
            "p90 %": round(first["error"].quantile(0.9), 1),
            "roofline (x cap) %": round(first.groupby("site")["of baseline"].mean().mean(), 1),
        })  # fmt: skip
    return pd.DataFrame(rows).sort_values(["products", "quantity"])


def tabulate_rows(cases: pd.DataFrame) -> pd.DataFrame:
    """Mean error of time over calls above 20 us, by how many rows of activations they have; the first seed."""
    judged = cases[(cases["measured_s"] > _JUDGED_FROM_S) & (cases["quantity"] == "time")]
    judged = judged[judged["seed"] == judged["seed"].iloc[0]]
    error = 100 * (judged["predicted"] / judged["measured"] - 1).abs()
    sizes = pd.cut(judged["rows"], [0, 64, 2048, np.inf], labels=["to 64 rows", "to 2,048", "more"])
    table = error.groupby([judged["set"], sizes], observed=True).mean().round(1).unstack()
    return table.astype(object).where(table.notna(), "-").rename_axis("time, mean over calls, %").reset_index()


if __name__ == "__main__":
    main()
