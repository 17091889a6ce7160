"""Boosted trees of a survey: many deep ones, which see the clock that each product ran at and answer for the full one.

A survey's products run one after the other, and the power cap takes clocks away as it goes; a timing waits for them.
So the clock is a column of its own, unknown where it was not read, and full whenever a prediction is asked for.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irene.leaves.smooth_regressor import FloatArray

if TYPE_CHECKING:
    import xgboost

_SETTINGS: dict[str, Any] = {
    "n_estimators": 400, "max_depth": 10, "learning_rate": 0.1, "max_bin": 64, "subsample": 0.8,
    "colsample_bytree": 0.5, "min_child_weight": 8.0,
}  # fmt: skip
_FULL_CLOCK = 0.0  # log of the clock over the full one
_COLUMNS = "columns"  # the name under which a saved booster carries them
_UNUSED = ("loss_changes", "sum_hessian", "base_weights")  # what trees keep of their making, and never read again


@dataclass(frozen=True, slots=True, eq=False)
class RoughRegressor:
    """`trees` over some `columns` of the features, the log of the clock after them."""

    trees: xgboost.Booster
    columns: NDArray[np.int64]

    def predict(self, features: FloatArray) -> FloatArray:
        """The answer at full clock for each row of `features` (rows, columns), shape (rows,)."""
        seen = np.empty((len(features), len(self.columns) + 1), dtype=np.float32)
        seen[:, :-1], seen[:, -1] = features[:, self.columns], _FULL_CLOCK
        return np.asarray(self.trees.inplace_predict(seen), dtype=np.float64)


def fit_rough(
    features: NDArray[np.float32], log_clock: NDArray[np.float32], target: NDArray[np.float32], seed: int = 0
) -> RoughRegressor:
    """Fit on `features` (rows, columns), `log_clock` (rows,; NaN where it was not read) and `target` (rows,).

    Columns that are the same in all rows are left out: they would take a third of the time. One thread: sums in one
    order, so that the same rows give the same bytes.
    """
    import xgboost

    columns = np.flatnonzero(features.min(axis=0) < features.max(axis=0))
    seen = np.column_stack([features[:, columns], log_clock])
    fixed = {"random_state": seed, "n_jobs": 1, "tree_method": "hist"}
    trees = xgboost.XGBRegressor(**_SETTINGS, **fixed).fit(seen, target).get_booster()
    trees.set_attr(**{_COLUMNS: json.dumps(columns.tolist())})
    return RoughRegressor(trees, columns)


def rough_to_bytes(rough: RoughRegressor) -> bytes:
    """XGBoost's own format without what only its making needed, compressed: a fifth of the size, always the same."""
    import xgboost

    model = json.loads(bytes(rough.trees.save_raw("json")))
    for tree in model["learner"]["gradient_booster"]["model"]["trees"]:
        for name in _UNUSED:
            tree[name] = [0.0] * len(tree[name])
    bare = xgboost.Booster()
    bare.load_model(bytearray(json.dumps(model).encode()))
    return gzip.compress(bytes(bare.save_raw("ubj")), mtime=0)


def rough_from_bytes(raw: bytes, columns: int) -> RoughRegressor:
    """What was saved, for rows of `columns` features. Raises ValueError (XGBoost's own is one) if it is not one."""
    import xgboost

    trees = xgboost.Booster()
    try:
        trees.load_model(bytearray(gzip.decompress(raw)))
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"a survey's regressor does not decompress: {error}") from None
    trees.set_param({"nthread": 2})  # rows are independent: the same answer
    seen = np.array(json.loads(trees.attr(_COLUMNS) or "[]"), dtype=np.int64)
    if trees.num_features() != len(seen) + 1 or not ((seen >= 0) & (seen < columns)).all():
        raise ValueError(f"a survey's regressor does not fit {columns} features")
    return RoughRegressor(trees, seen)
