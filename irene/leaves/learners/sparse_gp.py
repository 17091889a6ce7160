"""A sparse Gaussian process for few rows: its mean, with a length scale learned for each feature, as plain arrays.

Trees cut the space into boxes, which wastes the few hundred timings of a rare kernel; a Gaussian process carries each
to its neighbours. Its kernel is Matern 3/2 with a length scale a feature, learned from a sample of the rows; the search
starts where features that trees found useful are short. Outside the data each feature is held at its edge, so that a
value far away is never the prior's.

All rows teach, but no more than 2,000 of them become inducing points, those that lie farthest apart: the posterior mean
of the projected process (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, section 8.3.4), so that
saving, loading and predicting cost the same however many rows there are. With every row a point it is the exact one;
experiments/inducing-points has the error for other numbers.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np

from irene.arrays import FloatArray, IntArray
from irene.cores import count_cores
from irene.leaves.learners.length_scales import learn_scales
from irene.leaves.learners.matern import ROOT_3, lift, matern, measure_steps

_SAMPLE = 700
_FLOOR = 2e-4  # of the trees' gain: what a feature counts that they never used
_AT_ONCE = 64  # rows against all points: a megabyte, which stays in the processor's cache
_ALIKE = 512  # rows of a large table side by side
_FEW_BLOCKS = 16  # as a single model has: not worth more than one core
_LEAST_SCALE = 2e-3  # of the shortest: a feature with a longer length scale is left out
MOST_POINTS = 2000
LEAST_APART = 0.03  # length scales: nearer rows share a point
_JITTER = 1e-7  # of the signal's variance: keeps the points' covariance positive definite in floating point
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, eq=False)
class SparseGP:
    """`inducing_points` (points, kept columns) are rows over their length scales, `coefficients` (points,) theirs.

    `columns` are the kept features' places, `centre` and `scale` (kept columns,) bring a row onto the points' scale.
    """

    columns: IntArray
    centre: FloatArray
    scale: FloatArray
    inducing_points: FloatArray
    coefficients: FloatArray
    offset: float
    # Derived, so that a prediction does not pass over the points again.
    _edges: tuple[FloatArray, FloatArray] = field(init=False, repr=False)
    _lifted: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_edges", (self.inducing_points.min(axis=0), self.inducing_points.max(axis=0)))
        object.__setattr__(self, "_lifted", lift(self.inducing_points))

    def predict(self, features: FloatArray) -> FloatArray:
        """The mean at each row of `features` (rows, all columns), shape (rows,)."""
        scaled = (features[:, self.columns] - self.centre) * self.scale
        scaled = np.clip(scaled, *self._edges)
        is_large = len(scaled) > _FEW_BLOCKS * _AT_ONCE
        size = _ALIKE if is_large else _AT_ONCE
        blocks = [scaled[start : start + size] for start in range(0, len(scaled), size)]
        with one_thread(), ThreadPoolExecutor(count_cores()) as pool:
            means = list(pool.map(self._mean_of_alike, blocks) if is_large else map(self._mean_of, blocks))
        return self.offset + np.concatenate([np.empty(0), *means])

    def _mean_of(self, scaled: FloatArray) -> FloatArray:
        mean: FloatArray = matern(measure_steps(scaled, self._lifted)) @ self.coefficients
        return mean

    def _mean_of_alike(self, scaled: FloatArray) -> FloatArray:
        """As `_mean_of`; columns that do not vary (three in four, of calls of one form) are worked out once."""
        varies = (scaled != scaled[0]).any(axis=0)
        by_column, of_row, of_point = self._lifted[:-2], self._lifted[-2:-1], self._lifted[-1:]
        lifted = np.vstack([by_column[varies], of_row, of_point + scaled[0, ~varies] @ by_column[~varies]])
        rows = np.column_stack([scaled[:, varies], (scaled**2).sum(axis=1), np.ones(len(scaled))])
        mean = np.empty(len(rows))
        products, covariance = np.empty((2, _AT_ONCE, len(self.coefficients)))
        for start in range(0, len(rows), _AT_ONCE):
            part = rows[start : start + _AT_ONCE]
            steps = np.matmul(part, lifted, out=products[: len(part)])
            np.sqrt(np.abs(steps, out=steps), out=steps)  # below zero by rounding alone
            mean[start : start + _AT_ONCE] = matern(steps, covariance[: len(part)]) @ self.coefficients
        return mean


def fit_sparse_gp(
    features: FloatArray, target: FloatArray, gains: FloatArray, seed: int = 0, *, most_points: int = MOST_POINTS,
    least_apart: float = LEAST_APART,
) -> SparseGP:  # fmt: skip
    """Fit on `features` (rows, columns) and `target` (rows,); `gains` (columns,) say how useful trees found each.

    Points are at most `most_points`, and at least `least_apart` length scales apart. The same rows give the same
    numbers, however many cores there are; they are rounded to single precision, in which they are saved.
    """
    with one_thread():  # sums in one order
        return _fit(features, target, gains, seed, most_points, least_apart)


def one_thread() -> AbstractContextManager[Any]:
    """Linear algebra on one core.

    Threads that wait for each other over small blocks lose more than they win: ten times the seconds where other work
    has the cores.
    """
    context: AbstractContextManager[Any] = _find_libraries().limit(limits=1, user_api="blas")
    return context


@cache
def _find_libraries() -> Any:
    import scipy.linalg  # type: ignore[import-untyped]  # noqa: F401  # it brings a library of its own
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]  # comes with scikit-learn

    return ThreadpoolController()


def _fit(
    features: FloatArray,
    target: FloatArray,
    gains: FloatArray,
    seed: int,
    most_points: int,
    least_apart: float,
) -> SparseGP:
    spread = features.std(axis=0)
    columns = np.flatnonzero(spread > 1e-9)
    centre, spread = features[:, columns].mean(axis=0), spread[columns]
    standard = (features[:, columns] - centre) / spread
    offset = float(target.mean())
    start = (gains[columns] / max(gains.sum(), 1e-12) + _FLOOR) ** 0.25
    start = np.log(start / np.sqrt((start**2).sum()))
    chosen = np.random.default_rng(seed).permutation(len(target))[:_SAMPLE]
    scale, noise = learn_scales(standard[chosen], (target - offset)[chosen], start)
    kept = scale > _LEAST_SCALE * scale.max()
    rows = _single(standard[:, kept] * scale[kept])
    points = rows[_far_apart(rows, most_points, least_apart)]
    coefficients = _single(_project(points, rows, target - offset, noise))
    return SparseGP(columns[kept], centre[kept], scale[kept] / spread[kept], points, coefficients, offset)


def _far_apart(rows: FloatArray, most_points: int, least_apart: float) -> IntArray:
    """Which rows become points: the one nearest the centre, then always the one farthest from all so far.

    It ends where rows are not apart (Gonzalez, Clustering to minimize the maximum intercluster distance, 1985).
    """
    lifted, nearest = lift(rows), (rows**2).sum(axis=1).argmin()
    chosen = [int(nearest)]
    apart = np.full(len(rows), np.inf)
    while len(chosen) < most_points:
        apart = np.minimum(apart, measure_steps(rows[chosen[-1:]], lifted)[0])
        farthest = int(apart.argmax())
        if apart[farthest] < ROOT_3 * least_apart:
            break
        chosen.append(farthest)
    return np.sort(np.array(chosen, dtype=np.int64))


def _project(points: FloatArray, rows: FloatArray, target: FloatArray, noise: float) -> FloatArray:
    """Coefficients (points,) by `target` (rows,): (noise K_pp + K_pr K_rp) w = K_pr t (eq. 8.14).

    It is solved by way of the Cholesky factor of K_pp, which keeps the digits that the product loses. Row blocks are
    summed in order and in place, so that memory goes with the square of the points and not with the rows.
    """
    from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
    from scipy.linalg.blas import dsyrk, dtrsm  # type: ignore[import-untyped]

    lifted = lift(points)
    covariance = matern(measure_steps(points, lifted))
    covariance[np.diag_indices_from(covariance)] += _JITTER
    factor = cholesky(covariance.T, lower=True, overwrite_a=True, check_finite=False)
    inner, seen = np.asfortranarray(noise * np.eye(len(points))), np.zeros(len(points))
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        whitened = dtrsm(1.0, factor, matern(measure_steps(rows[part], lifted)).T, lower=True, overwrite_b=True)
        inner = dsyrk(1.0, whitened, beta=1.0, c=inner, lower=True, overwrite_c=True)  # its lower half
        seen += whitened @ target[part]
    whitened_coefficients = cho_solve(cho_factor(inner, lower=True, overwrite_a=True, check_finite=False), seen)
    coefficients: FloatArray = solve_triangular(
        factor, whitened_coefficients, lower=True, trans="T", check_finite=False
    )
    return coefficients


def _single(values: FloatArray) -> FloatArray:
    """Rounded to what a saved bundle holds, so that a predictor and its file agree to the bit."""
    rounded: FloatArray = values.astype(np.float32).astype(np.float64)
    return rounded
