"""The learned part: the logarithm of a ratio to physics, by smooth ridge regression, boosted trees, or both halved."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from irene.irene_2021.node_table import Floats

Method = Literal["none", "ridge", "boosted", "both"]

_BOOSTED: dict[str, Any] = {
    "n_estimators": 300, "max_depth": 4, "learning_rate": 0.08, "subsample": 0.8, "min_child_weight": 2.0,
}  # fmt: skip
_SHRINKAGE = 3.0


class LogRatio:
    """Regressor of log ratios. 'none' predicts 0: physics as it is. `seed` draws the boosted trees' samples."""

    def __init__(self, method: Method = "boosted", seed: int = 0) -> None:
        self.method = method
        self.seed = seed
        self._ridge: Any = None
        self._boosted: Any = None

    def fit(self, features: Floats, log_ratio: Floats) -> LogRatio:
        if self.method in ("ridge", "both"):
            from sklearn.linear_model import Ridge
            from sklearn.pipeline import make_pipeline
            from sklearn.preprocessing import PolynomialFeatures, StandardScaler

            squares = PolynomialFeatures(2, include_bias=False)
            self._ridge = make_pipeline(StandardScaler(), squares, StandardScaler(), Ridge(_SHRINKAGE))
            self._ridge.fit(features, log_ratio)
        if self.method in ("boosted", "both"):
            import xgboost

            # One thread: sums in one order, so that the same rows give the same numbers.
            settings = {**_BOOSTED, "random_state": self.seed, "n_jobs": 1, "tree_method": "hist"}
            self._boosted = xgboost.XGBRegressor(**settings).fit(features, log_ratio).get_booster()
        return self

    def predict(self, features: Floats) -> Floats:
        parts = []
        if self._ridge is not None:
            parts.append(np.asarray(self._ridge.predict(features), dtype=np.float64))
        if self._boosted is not None:
            parts.append(np.asarray(self._boosted.inplace_predict(features), dtype=np.float64))
        return np.mean(parts, axis=0) if parts else np.zeros(len(features))
