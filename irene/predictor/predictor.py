"""A tree and a fitted predictor -> a Prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_model import LeafModel
from irene.leaves.leaf_table import effective_dtype, make_table
from irene.model_tree.tree import ModelTree
from irene.predictor.aggregation import Weights
from irene.predictor.attribution import attribute, rescale, share_provenance
from irene.predictor.domain import Domain
from irene.predictor.expert_loads import TYPICAL_LOADS, deal_unevenly, without_idle
from irene.predictor.host_model import HostModel
from irene.predictor.intervals import WITH_RUNTIME, Intervals
from irene.predictor.placement import place_leaves
from irene.predictor.prediction import Prediction, PredictorInfo
from irene.predictor.runtime import RuntimeFeatures, RuntimeModel, watch_run
from irene.predictor.tree_leaves import tabulate_leaves
from irene.primitives.call import Call

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LeafEstimates:
    """Primitives alone, each in a loop of its own: arrays of one length, `low_j` to `high_j` a 90 % interval.

    `duration_s` is sustained, under the power cap; `burst_s` is the time of a short burst with clocks up.
    """

    duration_s: FloatArray
    burst_s: FloatArray
    power_w: FloatArray
    energy_j: FloatArray
    low_j: FloatArray
    high_j: FloatArray
    provenance: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Predictor:
    """Everything learned for one device; `irene.predictor.bundle` saves and loads it."""

    info: PredictorInfo
    spec: DeviceSpec
    leaves: LeafModel
    host: HostModel
    weights: Weights
    runtime: RuntimeModel
    intervals: Intervals
    domain: Domain

    def predict(self, tree: ModelTree, run: RuntimeFeatures | None = None) -> Prediction:
        """Predict the energy and time of every call of a tree, in the execution that its workload names.

        With a `run` that was watched, the whole takes its measured time and the energy that follows from it; the nodes
        keep their shares.
        """
        loads = TYPICAL_LOADS if run is None else run.loads
        leaves = tabulate_leaves(tree, self.spec)
        leaves = replace(leaves, table=without_idle(leaves.table, loads))
        alone = deal_unevenly(self.leaves.predict(leaves.table), leaves.table, loads)
        placed = place_leaves(leaves, alone, self.weights, self.host, tree.workload.execution, self.spec)
        by_row = self.domain.provenance_of(leaves.table)
        provenance = [by_row[row] for row in leaves.row_of_leaf]
        values = attribute(placed, provenance, self.intervals, self.spec)
        if run is not None:
            watched = watch_run(placed, run, tree.workload.execution, self.spec)
            energy_j = self.runtime.energy_j(watched, self.spec)
            values = rescale(values, energy_j, run.duration_s, self.intervals.of_regime(WITH_RUNTIME))
        shares = share_provenance(provenance, placed.energy_j)
        return Prediction(tree, self.spec.name, self.info, values, shares)

    def sum_of_leaves_j(self, tree: ModelTree) -> float:
        """The plain sum of the leaves' energies, each as measured alone: no weights, no host."""
        leaves = tabulate_leaves(tree, self.spec)
        return float(self.leaves.predict(leaves.table).energy_j[leaves.row_of_leaf].sum())

    def predict_primitives(self, calls: Sequence[Call], dtypes: Sequence[str], weights: Sequence[str]) -> LeafEstimates:
        """Primitives replayed alone; `weights` are 'hot' or 'cold'. All sequences have one length."""
        effective = [effective_dtype(call, dtype) for call, dtype in zip(calls, dtypes, strict=True)]
        table = make_table(calls, effective, [w == "cold" for w in weights], self.spec)
        values = self.leaves.predict(table)
        provenance = self.domain.provenance_of(table)
        width = np.array([self.intervals.of_kind(k, p) for k, p in zip(table.kinds, provenance, strict=True)])
        energy_j = values.energy_j
        low_j, high_j = energy_j * np.exp(-width), energy_j * np.exp(width)
        burst_s = self.leaves.predict_burst_s(table)
        return LeafEstimates(values.duration_s, burst_s, values.power_w, energy_j, low_j, high_j, tuple(provenance))
