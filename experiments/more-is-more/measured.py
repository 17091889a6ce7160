"""Does a product of few rows ever take the card less time than one of fewer? Writes the second table in README.md.

python experiments/more-is-more/measured.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.isotonic import IsotonicRegression

from irene.dataset.families import reserved_families
from irene.dataset.store import load_rows
from irene.dataset.summary import to_markdown
from irene.primitives.call import read_signature
from irene.primitives.shapes import gemm_shape
from irene.reporting.marked_text import write_between_marks

HERE = Path(__file__).resolve().parent
MARKS = "<!-- written by measured.py: begin -->", "<!-- written by measured.py: end -->"
SITE = ["dtype", "weights", "n", "k", "operands"]  # what a product multiplies its rows with
MOST_ROWS, MANY = 32, 5
ROWS = (1, 4, 8, 16, MOST_ROWS)


def main() -> None:
    timed = read_products(load_rows(HERE.parents[1] / "data" / "h200"))
    pairs = pd.concat([pair_up(site) for _, site in timed.groupby(SITE)])
    held = pd.concat([hold_monotone(site) for _, site in timed.groupby(SITE) if len(site) > 2])
    show_falls([site for _, site in timed.groupby(SITE) if len(site) >= MANY])
    write_between_marks(HERE / "README.md", to_markdown(tabulate(pairs, held)), *MARKS)


def read_products(rows: pd.DataFrame) -> pd.DataFrame:
    """Median seconds of each linear layer of few rows that was timed; rows of the reserved families are left out."""
    reserved = reserved_families()
    is_reserved = rows["families"].map(lambda families: set(families.split(",")) <= reserved)
    is_linear = rows["signature"].str.contains('"op":"aten.linear.default"', regex=False)
    chosen = rows[(rows["level"] == "primitive") & (rows["method"] == "events") & is_linear & ~is_reserved]
    calls = [read_signature(signature) for signature in chosen["signature"]]
    shapes = [gemm_shape(call) for call in calls]
    table = pd.DataFrame({
        "dtype": chosen["dtype"].to_numpy(), "weights": chosen["weights"].to_numpy(),
        "n": [shape.n for shape in shapes], "k": [shape.k for shape in shapes], "m": [shape.m for shape in shapes],
        "operands": [len(call.tensors) for call in calls], "duration_s": chosen["duration_s"].to_numpy(),
    })  # fmt: skip
    few = table[table["m"] <= MOST_ROWS]
    return few.groupby([*SITE, "m"])["duration_s"].median().reset_index()


def pair_up(site: pd.DataFrame) -> pd.DataFrame:
    """Every two products of one site of which one has more rows than the other, four times as many at most."""
    rows, seconds = site["m"].to_numpy(), site["duration_s"].to_numpy()
    fewer, more = np.nonzero((rows[None] > rows[:, None]) & (rows[None] <= 4 * rows[:, None]))
    return pd.DataFrame({"dtype": site["dtype"].iloc[0], "rows": rows[more], "ratio": seconds[more] / seconds[fewer]})


def hold_monotone(site: pd.DataFrame) -> pd.DataFrame:
    """How far the nearest times that never fall lie from those measured, in per cent."""
    logs = np.log(site["duration_s"].to_numpy())
    nearest = IsotonicRegression().fit_transform(site["m"].to_numpy(), logs)
    off_pct = 100 * np.abs(np.expm1(nearest - logs))
    return pd.DataFrame({"dtype": site["dtype"].iloc[0], "rows": site["m"].to_numpy(), "off_pct": off_pct})


def show_falls(sites: list[pd.DataFrame]) -> None:
    """Print the three products timed with many counts of rows that fall most from one row or few to more."""
    deepest = sorted(sites, key=lambda site: site["duration_s"].iloc[-1] / site["duration_s"].iloc[0])
    for site in deepest[:3]:
        seconds = zip(site["m"], site["duration_s"], strict=True)
        which = ", ".join(f"{name} {value}" for name, value in site[SITE].iloc[0].items())
        print(which, *(f"{rows} rows {1e6 * each_s:.1f} us" for rows, each_s in seconds), sep="; ")


def tabulate(pairs: pd.DataFrame, held: pd.DataFrame) -> pd.DataFrame:
    """By dtype and rows of the larger product: pairs, those that fall, what a monotone law errs."""
    labels = [f"{low + 1 if low > 1 else 2} to {high}" for low, high in zip(ROWS, ROWS[1:], strict=False)]
    table = []
    for (dtype, rows), group in pairs.groupby(["dtype", pd.cut(pairs["rows"], ROWS, labels=labels)], observed=True):
        own = held[(held["dtype"] == dtype) & (pd.cut(held["rows"], ROWS, labels=labels) == rows)]
        ratio = group["ratio"]
        table.append({
            "dtype": dtype, "rows": rows, "pairs": len(group),
            "fall, % of pairs": round(float(100 * (ratio < 1).mean())),
            "by 3 % and more, % of pairs": round(float(100 * (ratio < 0.97).mean())),
            "deepest fall %": max(0, round(float(100 * (1 - ratio.min())))),
            "a law that never falls errs %": round(float(own["off_pct"].mean()), 1),
        })  # fmt: skip
    return pd.DataFrame(table)


if __name__ == "__main__":
    main()
