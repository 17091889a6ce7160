"""How wrong predictions are: absolute percentage errors, their averages, and coverage.

Everything is in per cent. Of every `*_ape_pct` and `*_mape_pct`, lower is better; of `coverage_pct`, the
nominal level of the intervals is best (above it they are too wide, below it too narrow).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from irene.arrays import FloatArray

Floats = FloatArray


def absolute_percentage_errors(measured: npt.ArrayLike, predicted: npt.ArrayLike) -> Floats:
    """|predicted - measured| / measured in per cent, one a case; `measured` is the median of the case's repeats.

    >>> absolute_percentage_errors([2.0, 10.0], [3.0, 9.0]).tolist()
    [50.0, 10.0]

    Raises `ValueError` for different shapes, for a measured value that is not positive, for a prediction that is not
    a finite number: a missing prediction is not an error of some size.
    """
    truth, guess = np.asarray(measured, dtype=float), np.asarray(predicted, dtype=float)
    if truth.shape != guess.shape or truth.ndim != 1:
        raise ValueError(f"expected two vectors of one length, got shapes {truth.shape} and {guess.shape}")
    if not (np.isfinite(truth) & (truth > 0)).all():
        raise ValueError("measured values must be positive and finite")
    if not np.isfinite(guess).all():
        raise ValueError("predictions must be finite")
    errors_pct: Floats = np.abs(guess - truth) / truth * 100.0
    return errors_pct


def family_mean_mape_pct(errors_pct: npt.ArrayLike, families: Sequence[str] | pd.Series[str]) -> float:
    """Mean over the cases of a family, then over families: a family with many cases weighs no more than one with few.

    >>> family_mean_mape_pct([1.0, 1.0, 1.0, 5.0], ["bert", "bert", "bert", "t5"])
    3.0
    """
    errors = _some(errors_pct)
    means = pd.Series(errors).groupby(np.asarray(families, dtype=str)).mean()
    return float(means.mean())


def mape_pct(errors_pct: npt.ArrayLike) -> float:
    """Plain mean over cases."""
    return float(_some(errors_pct).mean())


def median_ape_pct(errors_pct: npt.ArrayLike) -> float:
    """Half of the cases are at most this wrong."""
    return float(np.median(_some(errors_pct)))


def p90_ape_pct(errors_pct: npt.ArrayLike) -> float:
    """Nine cases in ten are at most this wrong (linear between cases, as numpy's default)."""
    return float(np.percentile(_some(errors_pct), 90))


def worst_ape_pct(errors_pct: npt.ArrayLike) -> float:
    """The error of the worst case."""
    return float(_some(errors_pct).max())


def coverage_pct(measured: npt.ArrayLike, low: npt.ArrayLike, high: npt.ArrayLike) -> float:
    """Share of cases whose measured value lies in [low, high], ends included. Best is the intervals' nominal level."""
    truth, lower, upper = (np.asarray(values, dtype=float) for values in (measured, low, high))
    if not truth.shape == lower.shape == upper.shape or truth.size == 0:
        raise ValueError(f"expected three vectors of one length, got {truth.shape}, {lower.shape}, {upper.shape}")
    if not (lower <= upper).all():  # also catches NaN
        raise ValueError("expected low <= high in every case, both of them numbers")
    return float(((lower <= truth) & (truth <= upper)).mean() * 100.0)


def _some(errors_pct: npt.ArrayLike) -> Floats:
    errors = np.asarray(errors_pct, dtype=float)
    if errors.ndim != 1 or errors.size == 0:
        raise ValueError("no cases: an average of nothing is no number")
    if not (np.isfinite(errors) & (errors >= 0)).all():
        raise ValueError("expected errors of at least 0 per cent, all finite")
    return errors
