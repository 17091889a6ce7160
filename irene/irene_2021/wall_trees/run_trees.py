"""From a run of the very node: its time, utilisation and clocks, and, if allowed, the GPU's energy counter.

Time and counter come from the same run as the energy that is predicted. With the counter this is nearly trivial: energy
at the wall is a constant times the GPU's energy plus a constant power of everything around it times the time.
"""

from __future__ import annotations

import numpy as np

from irene.irene_2021.features import distinct_rows
from irene.irene_2021.node_table import Floats, NodeTable
from irene.irene_2021.wall_trees.devices import WallDevice
from irene.irene_2021.wall_trees.ratio import LogRatio, Method
from irene.irene_2021.wall_trees.work import count_node_work


class RunTrees:
    """Every node by its own run, so that nothing has to be summed up.

    With `counter`: energy = line_[0] x GPU energy + line_[1] (W) x time, times a learned ratio. Without: energy =
    line_[1] (W) x time, times a learned ratio. `method` says how the ratio is learned.
    """

    def __init__(self, device: WallDevice, counter: bool, method: Method = "boosted", seed: int = 0) -> None:
        self.device = device
        self.counter = counter
        self.method = method
        self.seed = seed
        self.line_: Floats = np.zeros(2)
        self.ratio_ = LogRatio(method, seed)

    def fit(self, table: NodeTable) -> RunTrees:
        """Learn from measured nodes of all levels; copied layers count once."""
        from scipy.optimize import nnls  # type: ignore[import-untyped]

        terms = self._terms(table) / table.energy_j[:, None]  # relative errors count alike at all sizes
        features = self._features(table)
        first, _ = distinct_rows(np.column_stack([terms, features]))
        self.line_ = nnls(terms[first], np.ones(len(first)))[0]
        log_ratio = -np.log(terms[first] @ self.line_)
        self.ratio_ = LogRatio(self.method, self.seed).fit(features[first], log_ratio)
        return self

    def predict(self, table: NodeTable) -> Floats:
        """Joules of every node, shape (nodes,)."""
        energy_j: Floats = self._terms(table) @ self.line_ * np.exp(self.ratio_.predict(self._features(table)))
        return energy_j

    def _terms(self, table: NodeTable) -> Floats:
        counted = table.feature("gpu_energy_mean") if self.counter else np.zeros(len(table))
        return np.column_stack([counted, table.feature("times_mean")])

    def _features(self, table: NodeTable) -> Floats:
        work = count_node_work(table)
        duration_s = table.feature("times_mean")
        columns = [
            table.feature("gpu") / 100,
            table.feature("gpu_clk") / 1000,
            table.feature("gpu_mem") / 100,
            table.feature("cpu"),
            table.feature("mem"),
            np.log(duration_s),
            np.log(work.flop / duration_s / self.device.flop_per_s + 1e-3),
            np.log(table.feature("mem_bytes") * 2.0**20 / duration_s / self.device.bytes_per_s + 1e-3),
            np.log(table.feature("input_size")),
            np.log(table.feature("batch_size")),
            (~table.is_leaf).astype(np.float64),
            (work.group == "gemm").astype(np.float64),
        ]
        if self.counter:
            columns.append(np.log(table.feature("gpu_energy_mean") / duration_s))
        return np.column_stack(columns)
