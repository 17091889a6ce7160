"""What do uneven loads cost a grouped product, and do the laws say so? Writes the second and third tables in README.md.

python experiments/routing/loads.py
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd

from irene.dataset.store import load_rows
from irene.dataset.summary import to_markdown
from irene.hardware.kernel_library import load_library
from irene.leaves.leaf_model import LeafValues
from irene.leaves.leaf_table import make_table
from irene.predictor.bundle import load_bundle, shipped_bundle
from irene.predictor.load_imbalance import (
    TYPICAL_DEVIATION,
    RouterLoads,
    apply_load_imbalance,
    uneven_factor,
    without_idle,
)
from irene.predictor.predictor import Predictor
from irene.primitives.call import read_signature
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).resolve().parent
GROUPED = load_library("hopper").grouped_products
DATA = HERE.parents[1] / "data" / "h200"
MARKS = "<!-- written by loads.py: begin -->", "<!-- written by loads.py: end -->"
_SEEN = ("signature", "weights", "busy_experts_pct", "expert_load_deviation")
IDLE_MARKS = "<!-- idle experts: begin -->", "<!-- idle experts: end -->"


def main() -> None:
    rows = load_rows(DATA)
    write_between_marks(HERE / "README.md", to_markdown(tabulate(rows)), *MARKS)
    idle = tabulate_idle(rows, load_bundle(shipped_bundle("h200")))
    write_between_marks(HERE / "README.md", to_markdown(idle), *IDLE_MARKS)


def tabulate(rows: pd.DataFrame) -> pd.DataFrame:
    """A row for each mean load: medians of the time at drawn loads over that at equal ones, and what the law says."""
    timed = rows[
        (rows["method"] == "events") & (rows["name"] == "_grouped_mm") & (rows["collection"] == "h200-experts")
    ]
    key = ["signature", "weights"]
    equal_s = timed[timed["drawn_load_deviation"].isna()].groupby(key)["duration_s"].median().rename("equal_s")
    drawn = timed[timed["drawn_load_deviation"].notna()].join(equal_s, on=key)
    shapes = [read_signature(text).tensors[:2] for text in drawn["signature"]]
    drawn = drawn.assign(
        ratio=drawn["duration_s"] / drawn["equal_s"],
        mean_rows=[math.ceil(x.shape[0] / weight.shape[0]) for x, weight in shapes],
        law=[uneven_factor(math.ceil(x.shape[0] / weight.shape[0]), weight.shape[-1], GROUPED) for x, weight in shapes],
    )
    table = drawn.pivot_table(index="mean_rows", columns="drawn_load_deviation", values="ratio", aggfunc="median")
    table.columns = [f"drawn with {deviation:g}" for deviation in table.columns]
    by_rows = drawn.groupby("mean_rows")
    table.insert(0, "products", by_rows["signature"].nunique())
    table[f"law, {TYPICAL_DEVIATION:g}"] = by_rows["law"].median()
    return table.round(2).reset_index().rename(columns={"mean_rows": "rows an expert, mean"})


def tabulate_idle(rows: pd.DataFrame, fitted: Predictor) -> pd.DataFrame:
    """A row for each deviation: how wrong the predicted time of drawn loads is, with what is assumed of them.

    The predictor was fitted on the same products with equal loads, so what is judged are the laws alone.
    """
    drawn = rows[(rows["method"] == "events") & rows["drawn_load_deviation"].notna()]
    errors = {}
    for assumed in ("equal loads", "all experts busy, 0.3", "loads as drawn"):
        predicted_s = [_burst_s(fitted, *row, assumed) for row in zip(*map(drawn.get, _SEEN), strict=True)]
        errors[f"{assumed}: error %"] = 100 * np.abs(np.array(predicted_s) / drawn["duration_s"] - 1)
    table = drawn.assign(**errors).groupby("drawn_load_deviation")
    found = table[[*errors]].mean().round(1)
    found.insert(0, "busy experts %", table["busy_experts_pct"].median().round(0))
    found.insert(0, "replays", table.size())
    return found.reset_index().rename(columns={"drawn_load_deviation": "drawn with"})


def _burst_s(fitted: Predictor, signature: str, weights: str, busy_pct: float, deviation: float, assumed: str) -> float:
    loads = RouterLoads(busy_pct / 100, deviation) if assumed == "loads as drawn" else RouterLoads()
    table = make_table([read_signature(signature)], ["bfloat16"], [weights == "cold"], fitted.spec)
    routed = without_idle(table, loads)
    alone = LeafValues(fitted.leaves.predict_burst_s(routed), np.ones(1), np.ones(1))
    return float((alone if assumed == "equal loads" else apply_load_imbalance(alone, routed, loads)).duration_s[0])


if __name__ == "__main__":
    main()
