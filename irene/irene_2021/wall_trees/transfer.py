"""A predictor taught on one card moved to another: by the spec sheet, and by a few leaves measured there."""

from __future__ import annotations

import copy

import numpy as np

from irene.irene_2021.features import distinct_rows
from irene.irene_2021.node_table import Floats, Integers, NodeTable
from irene.irene_2021.wall_trees.base import base_duration_s
from irene.irene_2021.wall_trees.devices import WallDevice
from irene.irene_2021.wall_trees.static_trees import StaticTrees, calibration_features
from irene.irene_2021.wall_trees.work import count_node_work

# How far, in logarithms, a card may be off its spec sheet: altogether, products apart, per factor of 16 in size; and
# one measured leaf off its model. Set before the first transfer was tried.
_PRIOR = np.array([0.3, 0.15, 0.1])
_NOISE = 0.05
_ROUNDS = 20  # of reweighting; the correction no longer moves then


def move_to_device(estimator: StaticTrees, device: WallDevice) -> StaticTrees:
    """The same learned ratios over another card's roofline: nothing measured there."""
    moved = copy.copy(estimator)
    moved.device = device
    moved.calibration_ = np.zeros_like(estimator.calibration_)
    return moved


def calibrate_on_leaves(estimator: StaticTrees, table: NodeTable, rows: Integers) -> StaticTrees:
    """Correct a moved predictor by the measured energies of the leaves at `rows`: Bayesian linear regression.

    With few leaves the correction stays near none; with no leaves it is none. A leaf far off the others counts little:
    a tiny call that waits for the host says nothing about the card.
    """
    corrected = copy.copy(estimator)
    work = count_node_work(table)
    base_s = base_duration_s(work.flop[rows], work.traffic_bytes[rows], estimator.device)
    features = calibration_features(base_s, work.group[rows] == "gemm")
    uncorrected = copy.copy(estimator)
    uncorrected.calibration_ = np.zeros_like(estimator.calibration_)
    miss = np.log(table.energy_j[rows] / uncorrected.leaf_energies_j(table, work, rows))
    found = np.zeros(len(_PRIOR))
    for _ in range(_ROUNDS):
        off = (miss - features @ found) / _NOISE
        trust = 3 / (2 + off**2) / _NOISE**2  # of Student's t with two degrees of freedom
        precision = features.T @ (features * trust[:, None]) + np.diag(1 / _PRIOR**2)
        found = np.asarray(np.linalg.solve(precision, features.T @ (trust * miss)), dtype=np.float64)
    corrected.calibration_ = found
    return corrected


def draw_leaves(table: NodeTable, predicted_j: Floats, count: int, seed: int) -> Integers:
    """Rows of `count` leaves to measure, drawn by `seed`, taking turns between products, attention and the rest.

    Within each the chance is proportional to `predicted_j`, the joules that a predictor expects of every node before
    anything is measured: leaves are worth measuring where the joules are.
    """
    random = np.random.default_rng(seed)
    work = count_node_work(table)
    turns = []
    for group in ("gemm", "matmul", "vector"):
        rows = np.flatnonzero(work.group == group)
        sizes = np.column_stack([work.flop[rows], work.traffic_bytes[rows], work.m[rows], work.n[rows]])
        distinct = rows[distinct_rows(sizes)[0]]  # layers repeat, and so do models
        if len(distinct):
            chance = predicted_j[distinct] / predicted_j[distinct].sum()
            turns.append(random.choice(distinct, min(count, len(distinct)), replace=False, p=chance))
    drawn = [int(turns[i % len(turns)][i // len(turns)]) for i in range(count)]
    return np.array(drawn, dtype=np.int64)
