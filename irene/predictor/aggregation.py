"""From leaves to a pass: each leaf counts with a learned weight near one, and the host's gaps come on top.

A kernel inside a model is not the kernel in its own loop: clocks, caches and neighbours differ. Following IrEne (Cao et
al., ACL 2021), a child counts with weight 1 + tanh(w.x) / tau, x being features of the child; here the children are the
leaves, so that every node above is the plain sum of what is below it, and the explanation adds up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from irene.arrays import FloatArray
from irene.leaves.kernel_sets import HALF_DTYPES
from irene.leaves.leaf_model import LeafValues
from irene.leaves.leaf_table import LeafTable

TAU = 3.0
"""A weight stays within 1 +- 1/3."""
WEIGHT_FEATURES = (
    "is_gemm", "is_gemm_float32", "is_attention", "is_vector", "is_vector_short", "log2_duration", "is_eager",
    "is_slowed", "is_grouped", "is_convolution", "is_vector_in_l2",
)  # fmt: skip
_SHRINKAGE = 0.02
# Log errors beyond this are outliers: a host that was slow, a card that ran hot. They must not bend all the others.
_LARGE_ERROR = 0.05
# Where the fit starts, and what it is shrunk to: seen in captured models.
_CHAIN_GAP_US = 0.4


@dataclass(frozen=True, slots=True)
class Weights:
    """Coefficients of energy weights and of time weights, each in the order of WEIGHT_FEATURES.

    `chain_gap_s` is what each kernel costs more in a chain of different ones than in a loop of itself.
    """

    energy: tuple[float, ...]
    duration: tuple[float, ...]
    chain_gap_s: float = 0.0

    def of_energy(self, features: FloatArray) -> FloatArray:
        return _weigh(features, np.array(self.energy))

    def of_duration(self, features: FloatArray) -> FloatArray:
        return _weigh(features, np.array(self.duration))


NEUTRAL = Weights((0.0,) * len(WEIGHT_FEATURES), (0.0,) * len(WEIGHT_FEATURES))
"""Every weight one: the plain sum of leaves."""


@dataclass(frozen=True, slots=True, eq=False)
class AggregationCase:
    """A measured pass that seldom waits for the host: its distinct leaves, how often each occurs, what was measured.

    `launches` is 1 for leaves that launch a kernel, else 0; times and energies are those at the pass's clock.
    `issue_s` is what the host takes for all calls: where that is more, the GPU waits, and no weight may learn that.
    """

    features: FloatArray
    counts: FloatArray
    launches: FloatArray
    leaf_energy_j: FloatArray
    leaf_duration_s: FloatArray
    measured_energy_j: float
    measured_duration_s: float
    family: str
    issue_s: float = 0.0


def weight_features(table: LeafTable, alone: LeafValues, execution: str) -> FloatArray:
    """Features of leaves that cost `alone` for their weights, shape (rows of the table, len(WEIGHT_FEATURES))."""
    family, kind = table.words("families"), table.words("kinds")
    half = np.isin(table.words("dtypes"), HALF_DTYPES)
    gemm, vector = family == "gemm", family == "vector"
    log2_us = np.log2(np.maximum(alone.duration_s, 1e-7) * 1e6)
    columns = [
        gemm & half,
        gemm & ~half,
        family == "attention",
        vector,
        vector & (log2_us < 3),
        np.clip(log2_us, -1, 10) / 10,
        np.full(len(family), execution == "eager"),
        alone.slowing > 1,
        kind == "grouped_gemm",
        kind == "convolution",
        vector & (table.traffic_bytes < table.spec.l2_bytes),  # in a model its neighbour has just written them
    ]
    seen = np.column_stack([np.asarray(column, dtype=np.float64) for column in columns])
    seen[table.is_collective] = 0.0  # weight one: what kernels of one GPU taught says nothing of an exchange
    return seen


def fit_weights(cases: Sequence[AggregationCase], idle_power_w: float) -> Weights:
    """The least log error, each family counting alike, shrunk towards weight one; large errors count linearly.

    Between two kernels of a chain, and while it waits for the host, the board draws `idle_power_w`.
    """
    from scipy.optimize import least_squares  # type: ignore[import-untyped]

    if not cases:
        return NEUTRAL
    sizes: dict[str, int] = {}
    for case in cases:
        sizes[case.family] = sizes.get(case.family, 0) + 1
    importance = np.array([1.0 / np.sqrt(sizes[case.family]) for case in cases])
    importance /= np.sqrt(np.mean(importance**2))

    features, counts = (np.concatenate([getattr(case, name) for case in cases]) for name in ("features", "counts"))
    starts = np.cumsum([0, *(len(case.counts) for case in cases[:-1])])
    chains = np.array([float(case.launches @ case.counts) for case in cases])
    leaf_j = np.concatenate([case.leaf_energy_j for case in cases]) * counts
    leaf_s = np.concatenate([case.leaf_duration_s for case in cases]) * counts
    measured_j, measured_s, issue_s = (
        np.array([getattr(case, name) for case in cases])
        for name in ("measured_energy_j", "measured_duration_s", "issue_s")
    )

    def weighed(alone: FloatArray, theta: FloatArray) -> FloatArray:
        sums: FloatArray = np.add.reduceat(_weigh(features, theta) * alone, starts)
        return sums

    def errors(predicted: FloatArray, measured: FloatArray, moved: FloatArray) -> FloatArray:
        shrink = np.sqrt(_SHRINKAGE * len(cases) / 10) * moved
        return np.concatenate([importance * _soften(np.log(predicted / measured)), shrink])

    def busy_s(theta: FloatArray) -> FloatArray:
        sums: FloatArray = weighed(leaf_s, theta[:-1]) + chains * theta[-1] * 1e-6
        return sums

    start = np.zeros(len(WEIGHT_FEATURES) + 1)
    start[-1] = _CHAIN_GAP_US
    duration = least_squares(lambda t: errors(np.maximum(busy_s(t), issue_s), measured_s, t - start), start).x
    duration[-1] = max(0.0, duration[-1])
    between_s = chains * duration[-1] * 1e-6 + np.maximum(issue_s - busy_s(duration), 0.0)
    neutral = start[:-1]
    held = least_squares(lambda t: errors(weighed(leaf_j, t) + idle_power_w * between_s, measured_j, t), neutral).x
    return Weights(tuple(map(float, held)), tuple(map(float, duration[:-1])), float(duration[-1]) * 1e-6)


def _soften(error: FloatArray) -> FloatArray:
    """The value whose square grows like the square of a small error and like a large one itself."""
    scaled = error / _LARGE_ERROR
    # 2 (sqrt(1 + x^2) - 1), without taking one from what is hardly more than one.
    softened: FloatArray = error * np.sqrt(2.0 / (np.sqrt(1.0 + scaled**2) + 1.0))
    return softened


def _weigh(features: FloatArray, theta: FloatArray) -> FloatArray:
    weights: FloatArray = 1.0 + np.tanh(features @ theta) / TAU
    return weights
