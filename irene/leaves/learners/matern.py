"""The kernel of the Gaussian processes, Matern 3/2, between tables of points that are already on their length scales.

(Rasmussen and Williams, Gaussian Processes for Machine Learning, 2006, eq. 4.17.)
"""

from __future__ import annotations

import numpy as np

from irene.arrays import FloatArray

ROOT_3 = float(np.sqrt(3.0))


def lift(points: FloatArray) -> FloatArray:
    """Points (points, columns) as `measure_steps` takes them, (columns + 2, points): a distance is one product."""
    return 3.0 * np.vstack([-2.0 * points.T, np.ones(len(points)), (points**2).sum(axis=1)])


def measure_steps(rows: FloatArray, lifted: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """Distances of rows to lifted points times the root of three, (rows, points); into `out`, if given."""
    seen = np.column_stack([rows, (rows**2).sum(axis=1), np.ones(len(rows))])
    squares: FloatArray = np.matmul(seen, lifted, out=out)
    return np.sqrt(np.maximum(squares, 0.0, out=squares), out=squares)


def matern(steps: FloatArray, out: FloatArray | None = None) -> FloatArray:
    """Overwrites `steps`; `out` is where the answer goes, of their shape."""
    covariance: FloatArray = np.negative(steps, out=out)
    np.exp(covariance, out=covariance)
    steps += 1.0
    covariance *= steps
    return covariance
