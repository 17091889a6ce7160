"""Our H200's products against NVIDIA's own table of the same GPU, by size, beside how far NVIDIA's tables differ.

    python experiments/against-nvidia/run.py REFERENCE [--output FOLDER]

REFERENCE is a folder with `products-bf16-h200_sxm.parquet`. Writes `table.csv`. CPU only, about a minute.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from irene.hardware import load_device
from irene.predictor.bundle import load_bundle, shipped_bundle
from irene.primitives import Call, TensorSpec

_COPIES = 6  # of the weights, that NVIDIA's loop goes round
_FILLED_BELOW = 51_200  # rows or columns of weights: larger ones may have run on memory that nobody filled
_EDGES_US = [0, 5, 20, 50, 200, 1000, np.inf]
_CLASSES = ["below 5 us", "5 to 20 us", "20 to 50 us", "50 to 200 us", "0.2 to 1 ms", "above 1 ms"]
_ROWS_AT_ONCE = 4_000
# From this share of the cap a product in a window of its own is taken to be held by it.
_CAPPED_SHARE = 0.95


def linear(m: int, n: int, k: int) -> Call:
    """`m` rows of `k` columns, times weights of `n` rows, all in bfloat16 and contiguous."""
    x, y = (TensorSpec(shape, (shape[1], 1), "bfloat16") for shape in ((m, k), (m, n)))
    return Call("aten.linear.default", (x, TensorSpec((n, k), (k, 1), "bfloat16", weight=True)), (), (y,))


def judge(table: pd.DataFrame) -> pd.DataFrame:
    """The table with `burst_s` and `sustained_s` as predicted, and watts of the latter."""
    predictor, spec = load_bundle(shipped_bundle("h200")), load_device("h200")
    parts = []
    for start in range(0, len(table), _ROWS_AT_ONCE):
        part = table.iloc[start : start + _ROWS_AT_ONCE]
        calls = [linear(*map(int, shape)) for shape in part[["m", "n", "k"]].itertuples(index=False)]
        cold = _COPIES * 2.0 * part.n * part.k > spec.l2_bytes
        found = predictor.predict_primitives(
            calls, ["bfloat16"] * len(calls), ["cold" if is_cold else "hot" for is_cold in cold]
        )
        parts.append(part.assign(burst_s=found.burst_s, sustained_s=found.duration_s, power_w=found.power_w))
    return pd.concat(parts)


def summarise(judged: pd.DataFrame, power_cap_w: float) -> pd.DataFrame:
    """One row a class of size; `their_spread_pct` is the median difference between NVIDIA's tables of one shape."""
    classes = pd.cut(judged.duration_s * 1e6, _EDGES_US, labels=_CLASSES)
    rows = []
    for name, part in [*judged.groupby(classes, observed=True), ("all", judged)]:
        ratio = part.burst_s / part.duration_s
        rows.append({
            "size": name, "shapes": len(part), "mape_pct": 100 * (ratio - 1).abs().mean(),
            "median_pct": 100 * (ratio - 1).abs().median(), "bias_pct": 100 * (np.exp(np.log(ratio).mean()) - 1),
            "their_spread_pct": part.spread_pct[part.tables > 1].median(),
            "sustained_mape_pct": 100 * (part.sustained_s / part.duration_s - 1).abs().mean(),
            "at_cap_pct": 100 * (part.power_w > _CAPPED_SHARE * power_cap_w).mean(),
        })  # fmt: skip
    return pd.DataFrame(rows).round(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    given = parser.parse_args()
    table = pd.read_parquet(given.reference / "products-bf16-h200_sxm.parquet")
    judged = judge(table[(table.n < _FILLED_BELOW) & (table.k < _FILLED_BELOW)])
    summary = summarise(judged, load_device("h200").power_cap_w)
    summary.to_csv(given.output / "table.csv", index=False)
    print(summary.to_string(index=False))


if __name__ == "__main__":
    main()
