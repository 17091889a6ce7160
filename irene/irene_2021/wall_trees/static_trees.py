"""From shapes alone: leaves by their ratio to a roofline, inner nodes as children plus the work they do themselves."""

from __future__ import annotations

import numpy as np

from irene.irene_2021.features import distinct_rows
from irene.irene_2021.level_order import plant_forest
from irene.irene_2021.node_table import Floats, Integers, NodeTable
from irene.irene_2021.wall_trees.base import SELF_WORK, base_duration_s, leaf_features, self_work_s
from irene.irene_2021.wall_trees.devices import WallDevice
from irene.irene_2021.wall_trees.node_weights import WEIGHT_FEATURES, fit_weights, weigh_nodes
from irene.irene_2021.wall_trees.ratio import LogRatio, Method
from irene.irene_2021.wall_trees.work import NodeWork, count_node_work

_GROUPS = ("gemm", "matmul", "vector")


class StaticTrees:
    """Sees FLOP, bytes, parameters, batch size and length; no time, utilisation or energy of what it predicts.

    `method` is how ratios of leaves are learned; with `weighted`, an inner node's sum is multiplied by a learned weight
    near one. Learned: `ratios_` by group of leaves; `self_cost_`, for each kind of SELF_WORK how many times the
    roofline's energy it costs; `weights_`, coefficients of WEIGHT_FEATURES; `calibration_`, see `transfer`.
    """

    def __init__(self, device: WallDevice, method: Method = "boosted", seed: int = 0, weighted: bool = False) -> None:
        self.device = device
        self.method = method
        self.seed = seed
        self.weighted = weighted
        self.ratios_: dict[str, LogRatio] = {}
        self.self_cost_: Floats = np.zeros(len(SELF_WORK))
        self.weights_: Floats = np.zeros(len(WEIGHT_FEATURES))
        self.calibration_: Floats = np.zeros(3)

    def fit(self, table: NodeTable) -> StaticTrees:
        """Learn from trees of which every node has a measured energy."""
        work = count_node_work(table)
        for group in _GROUPS:
            rows = np.flatnonzero(work.group == group)
            if len(rows):
                target = np.log(table.energy_j[rows] / self._base_j(work, rows))
                features = leaf_features(table, work, rows, self.device)
                first, _ = distinct_rows(np.column_stack([features, target]))  # copied layers count once
                self.ratios_[group] = LogRatio(self.method, self.seed).fit(features[first], target[first])
        self.self_cost_ = self._fit_self_cost(table, work)
        if self.weighted:
            sums_j = table.sum_children(table.energy_j) + self.self_energies_j(table, work)
            self.weights_ = fit_weights(table, sums_j)
        return self

    def predict(self, table: NodeTable) -> Floats:
        """Joules of every node, shape (nodes,): each is the sum of its children and of its own work, times a weight."""
        work = count_node_work(table)
        own_j = self.self_energies_j(table, work)
        rows = np.flatnonzero(table.is_leaf)
        own_j[rows] = self.leaf_energies_j(table, work, rows)
        weight = np.where(table.is_leaf, 1.0, weigh_nodes(table, self.weights_))
        in_parent = np.where(table.parent < 0, 1.0, weight[table.parent])
        forest = plant_forest(table)
        energy_j = np.empty(len(table))
        energy_j[forest.rows] = forest.sum_up(in_parent[forest.rows], (weight * own_j)[forest.rows])
        return energy_j

    def leaf_energies_j(self, table: NodeTable, work: NodeWork, rows: Integers) -> Floats:
        """Joules of the leaves at `rows` of a table."""
        log_ratio = np.zeros(len(rows))
        features = leaf_features(table, work, rows, self.device)
        for group, model in self.ratios_.items():
            here = work.group[rows] == group
            if here.any():
                log_ratio[here] = model.predict(features[here])
        base_s = base_duration_s(work.flop[rows], work.traffic_bytes[rows], self.device)
        log_ratio += calibration_features(base_s, work.group[rows] == "gemm") @ self.calibration_
        energy_j: Floats = self.device.power_w * base_s * np.exp(log_ratio)
        return energy_j

    def self_energies_j(self, table: NodeTable, work: NodeWork) -> Floats:
        """Joules that each inner node needs beside its children; 0 at leaves."""
        seconds = self_work_s(table, work, self.device)
        not_gemm = np.zeros(len(table), dtype=bool)
        total = np.zeros(len(table))
        for column, cost in enumerate(self.self_cost_):
            factor = np.exp(calibration_features(np.maximum(seconds[:, column], 1e-7), not_gemm) @ self.calibration_)
            total += cost * self.device.power_w * seconds[:, column] * factor
        return total

    def _base_j(self, work: NodeWork, rows: Integers) -> Floats:
        return self.device.power_w * base_duration_s(work.flop[rows], work.traffic_bytes[rows], self.device)

    def _fit_self_cost(self, table: NodeTable, work: NodeWork) -> Floats:
        """Costs of at least zero that explain what inner nodes measured beyond the sum of their measured children."""
        from scipy.optimize import nnls  # type: ignore[import-untyped]

        inner = np.flatnonzero(~table.is_leaf)
        energy_j = table.energy_j[inner]
        beyond = (energy_j - table.sum_children(table.energy_j)[inner]) / energy_j  # relative: all sizes count alike
        seconds = self_work_s(table, work, self.device)[inner]
        terms = self.device.power_w * seconds / energy_j[:, None]
        first, _ = distinct_rows(np.column_stack([terms, beyond]))
        cost: Floats = nnls(terms[first], beyond[first])[0]
        return cost


def calibration_features(base_s: Floats, is_gemm: np.ndarray) -> Floats:
    """What a card's deviation from its spec sheet may depend on: a constant, products or not, size. Shape (n, 3)."""
    return np.column_stack([np.ones(len(base_s)), is_gemm, np.log2(base_s / 100e-6) / 4])
