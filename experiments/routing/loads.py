"""What do uneven loads cost a grouped product, and does the law of blocks say so? Writes the second table in README.md.

python experiments/routing/loads.py
"""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd

from irene.dataset.store import load_rows
from irene.dataset.summary import to_markdown
from irene.predictor.expert_loads import TYPICAL_DEVIATION, uneven_factor
from irene.primitives.call import read_signature
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[1] / "data" / "h200"
MARKS = "<!-- written by loads.py: begin -->", "<!-- written by loads.py: end -->"


def main() -> None:
    write_between_marks(HERE / "README.md", to_markdown(tabulate(load_rows(DATA))), *MARKS)


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
        law=[uneven_factor(math.ceil(x.shape[0] / weight.shape[0]), weight.shape[-1]) for x, weight in shapes],
    )
    table = drawn.pivot_table(index="mean_rows", columns="drawn_load_deviation", values="ratio", aggfunc="median")
    table.columns = [f"drawn with {deviation:g}" for deviation in table.columns]
    by_rows = drawn.groupby("mean_rows")
    table.insert(0, "products", by_rows["signature"].nunique())
    table[f"law, {TYPICAL_DEVIATION:g}"] = by_rows["law"].median()
    return table.round(2).reset_index().rename(columns={"mean_rows": "rows an expert, mean"})


if __name__ == "__main__":
    main()
