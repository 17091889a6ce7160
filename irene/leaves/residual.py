"""What a few measured calls say of all others: a Gaussian process on the log of measured over predicted.

A constant of the device, one of each set of kernels, straight lines in what decides a regime (floor, memory, cap), and
a Matern kernel over the size of a call. With eight points it is hardly more than regimes, with forty a surface. Its
scales are not fitted to the points: eight do not tell them (Rasmussen, Williams: Gaussian Processes for Machine
Learning, 2006, eq. 2.25 and 4.17).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from irene.arrays import FloatArray
from irene.hardware.roofline import compute_s, memory_s
from irene.leaves.leaf_table import LeafTable
from irene.primitives.attention import attention_shape
from irene.primitives.call import Call
from irene.primitives.shapes import gemm_shape
from irene.primitives.work import count_work

COLUMNS = (
    "log2_roof_s", "log2_compute_over_memory", "log2_size_1", "log2_size_2", "log2_size_3", "log2_size_4",
    "log_slowing", "memory_share", "floor_share",
)  # fmt: skip
"""Columns of `see_calls`: six that say how large a call is, and three that say what decides its time."""
_SIZES = 6
# Doublings over which calls are alike, and how far constants, lines and the surface go (log units). Between a third of
# these doublings and all of them no mean error of products and passes moved by half a point (experiments/other-gpus).
_ALIKE = np.array([6.4, 4.0, 4.8, 4.8, 4.8, 4.8])
_OF_DEVICE, _OF_KERNELS, _SURFACE, _NOISE = 0.2, 0.15, 0.2, 0.1
_LINES = np.array([0.5, 0.2, 0.2])
_MOST_SLOWING, _FURTHEST_RATIO = 1.5, 8.0
MOST_LOG = 1.5
"""A correction goes no further: a factor of 4.5."""


@dataclass(frozen=True, slots=True, eq=False)
class LogResidual:
    """`points` (points, COLUMNS) with the set of kernels of each, and a coefficient a point."""

    points: FloatArray
    kernels: tuple[str, ...]
    coefficients: FloatArray

    def predict(self, seen: FloatArray, kernels: Sequence[str]) -> FloatArray:
        """Log of measured over predicted of calls that look as `seen` (rows, COLUMNS), shape (rows,)."""
        found: FloatArray = _covariance(seen, kernels, self.points, self.kernels) @ self.coefficients
        return np.clip(found, -MOST_LOG, MOST_LOG)


def fit_residual(seen: FloatArray, kernels: Sequence[str], log_ratios: FloatArray) -> LogResidual:
    """Learn `log_ratios` (points,) of calls that look as `seen` (points, COLUMNS); there must be one at least."""
    covariance = _covariance(seen, kernels, seen, kernels) + _NOISE**2 * np.eye(len(seen))
    coefficients: FloatArray = np.linalg.solve(covariance, log_ratios).astype(np.float64)
    return LogResidual(seen, tuple(kernels), coefficients)


def see_calls(table: LeafTable, slowing: FloatArray) -> FloatArray:
    """How the rows of a table look, shape (rows, COLUMNS); `slowing` is what the power cap is predicted to do to each.

    The roofs are those of the table's device.
    """
    spec = table.spec
    works = [count_work(call) for call in table.calls]
    compute = np.array([compute_s(work, dtype, spec) for work, dtype in zip(works, table.dtypes, strict=True)])
    memory = np.array([memory_s(work, spec) for work in works])
    roof_s = np.maximum(np.maximum(compute, memory), 1e-9)
    ratio = np.log2(np.maximum(compute, 1e-12) / np.maximum(memory, 1e-12))
    ratio = np.clip(ratio, -_FURTHEST_RATIO, _FURTHEST_RATIO)
    sizes = np.log2(np.array([_sizes(call, family) for call, family in zip(table.calls, table.families, strict=True)]))
    slowed = np.clip(np.log(np.maximum(slowing, 1.0)), 0.0, _MOST_SLOWING)
    floor_share = spec.kernel_floor_s / (spec.kernel_floor_s + roof_s)
    memory_share = 1.0 / (1.0 + 4.0**ratio) - 0.5
    seen: FloatArray = np.column_stack(
        [np.log2(roof_s), ratio, sizes.reshape(-1, 4), slowed, memory_share, floor_share]
    )
    return seen


def _sizes(call: Call, family: str) -> tuple[float, float, float, float]:
    """Four sizes of a call, 1 where it has fewer."""
    if family == "gemm":
        product = gemm_shape(call)
        sizes = (product.m, product.n, product.k, product.batch)
    elif family == "attention":
        shape = attention_shape(call)
        sizes = (shape.batch * shape.heads, shape.q_len, shape.kv_len, shape.head_size)
    else:
        largest = max((tensor.shape for tensor in (*call.tensors, *call.outputs)), key=_numel, default=())
        width = largest[-1] if largest else 1
        sizes = (_numel(largest) // max(width, 1), width, 1, 1)
    one, two, three, four = (max(float(size), 1.0) for size in sizes)
    return one, two, three, four


def _numel(shape: tuple[int, ...]) -> int:
    return int(np.prod(shape, dtype=np.int64))


def _covariance(seen: FloatArray, kernels: Sequence[str], points: FloatArray, of_points: Sequence[str]) -> FloatArray:
    same = np.array(kernels, dtype=np.str_)[:, None] == np.array(of_points, dtype=np.str_)[None, :]
    scaled, others = seen[:, :_SIZES] / _ALIKE, points[:, :_SIZES] / _ALIKE
    steps = np.sqrt(3.0 * ((scaled[:, None, :] - others[None, :, :]) ** 2).sum(axis=2))
    surface = _SURFACE**2 * (1.0 + steps) * np.exp(-steps)
    lines = (seen[:, _SIZES:] * _LINES**2) @ points[:, _SIZES:].T
    covariance: FloatArray = _OF_DEVICE**2 + same * (_OF_KERNELS**2 + lines + surface)
    return covariance
