"""Length scales of a Gaussian process: those with which a sample of its rows is most likely.

The search maximises the marginal likelihood (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006,
eq. 2.25 and 5.9), with a pull towards where it starts.
"""

from __future__ import annotations

import numpy as np

from irene.arrays import FloatArray
from irene.leaves.learners.matern import lift, measure_steps

_STEPS = 18
_PULL = 0.1
_NOISE = 0.02  # of the target's variance, where the search starts


def learn_scales(features: FloatArray, target: FloatArray, start: FloatArray) -> tuple[FloatArray, float]:
    """Inverse length scales (columns,) and noise as a share of the signal's variance, by L-BFGS from `start` (logs)."""
    from scipy.optimize import minimize  # type: ignore[import-untyped]

    columns = len(start)
    bounds = [(log - 4.0, log + 3.0) for log in start] + [(np.log(1e-4), np.log(0.3)), (-1.0, 4.0)]
    found = minimize(
        _Loss(features, target, start), np.concatenate([start, [np.log(_NOISE), 0.0]]), jac=True, method="L-BFGS-B",
        bounds=bounds, options={"maxiter": _STEPS, "maxcor": 20},
    ).x  # fmt: skip
    return np.exp(found[:columns]), float(np.exp(found[columns] - found[columns + 1]))


class _Loss:
    """How unlikely the sample is, and the slopes of that, by logs of inverse scales, of noise and of the amplitude.

    Its three tables (rows, rows) are filled anew in every step: to ask for new memory would take as long as the sums.
    All are symmetric, and of what LAPACK makes only the upper half is kept and read.
    """

    def __init__(self, features: FloatArray, target: FloatArray, start: FloatArray) -> None:
        self._features, self._target, self._start = features, target, start
        self._variance = max(float(target.var()), 1e-12)
        self._steps, self._decay, self._covariance = np.empty((3, len(target), len(target)))

    def __call__(self, logs: FloatArray) -> tuple[float, FloatArray]:
        from scipy.linalg import cholesky  # type: ignore[import-untyped]
        from scipy.linalg.blas import dsymm, dsymv, dsyr  # type: ignore[import-untyped]
        from scipy.linalg.lapack import dpotri  # type: ignore[import-untyped]

        columns, target = len(self._start), self._target
        scaled = self._features * np.exp(logs[:columns])
        noise, amplitude = self._variance * np.exp(logs[columns:])
        steps = measure_steps(scaled, lift(scaled), self._steps)
        decay = np.exp(np.negative(steps, out=self._decay), out=self._decay)
        decay *= amplitude
        covariance = np.multiply(np.add(steps, 1.0, out=steps), decay, out=self._covariance)
        covariance[np.diag_indices_from(covariance)] += noise
        # Transposed, the same memory is in LAPACK's order, and its upper half the lower one.
        factor = cholesky(covariance.T, lower=True, overwrite_a=True, check_finite=False)
        log_root = np.log(np.diag(factor)).sum()
        inverse, _ = dpotri(factor, lower=True, overwrite_c=True)
        alpha = dsymv(1.0, inverse, target, lower=True)
        trace, fit = np.trace(inverse), target @ alpha
        rest = dsyr(-1.0, alpha, lower=True, a=inverse, overwrite_a=True)
        decay *= rest.T
        # -3 decay rest times the squared difference in a feature (eq. 5.9): the sums of rows are one column more.
        by_row = dsymm(-3.0, decay.T, np.column_stack([scaled, np.ones(len(target))]), lower=True)
        by_scale = (by_row[:, -1:] * scaled**2).sum(axis=0) - (scaled * by_row[:, :-1]).sum(axis=0)
        by_noise = noise * (trace - alpha @ alpha)
        # Noise and amplitude together scale the whole covariance, of which the slope is known.
        by_amplitude = len(target) - fit - by_noise
        away = logs[:columns] - self._start
        value = 0.5 * fit + log_root + 0.5 * _PULL * (away**2).sum()
        return float(value), np.concatenate([by_scale + _PULL * away, [0.5 * by_noise, 0.5 * by_amplitude]])
