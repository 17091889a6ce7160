"""A tree and a fitted predictor -> a Prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from irene.arrays import FloatArray
from irene.errors import BadInput
from irene.hardware.spec import DeviceSpec
from irene.hardware.system import load_system
from irene.leaves.leaf_model import LeafPrices
from irene.leaves.leaf_table import effective_dtype, make_table
from irene.model_tree.expert_routing import BALANCED
from irene.model_tree.quantization import require_dense, require_towers
from irene.model_tree.tree import ModelTree
from irene.passes.counted import Pass
from irene.predictor.aggregation import Weights
from irene.predictor.attribution import rescale, share_provenance
from irene.predictor.domain import Domain
from irene.predictor.host_model import HostModel
from irene.predictor.intervals import WITH_RUNTIME, Intervals
from irene.predictor.node_intervals import find_widths
from irene.predictor.pipeline import price_passes
from irene.predictor.prediction import Prediction, PredictorInfo
from irene.predictor.runtime import RuntimeFeatures, RuntimeModel, watch_run
from irene.predictor.tree_leaves import tabulate_leaves
from irene.primitives.call import Call


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
    leaves: LeafPrices
    host: HostModel
    weights: Weights
    runtime: RuntimeModel
    intervals: Intervals
    domain: Domain

    def predict(self, tree: ModelTree, run: RuntimeFeatures | None = None) -> Prediction:
        """Predict the energy and time of every call of a tree, in the execution that its workload names.

        With a `run` that was watched, the pass takes its measured time and the energy that follows from it; the nodes
        keep their shares. Raises BadInput for the tree of a model whose weights are quantised.
        """
        require_dense(tree.model, tree.quantization)
        require_towers(tree.model, tree.left_out)
        load_system(self.spec, tree.workload.gpus)  # a saved tree may be of more than this device can be
        seen = None if run is None else run.seen_loads
        if seen is not None and tree.workload.expert_routing != BALANCED:
            raise BadInput("The loads of experts are those that the run saw or those of expert_routing: give one.")
        (priced,) = price_passes(self, [Pass(tree)], seen)
        values = priced.values
        if run is not None:
            watched = watch_run(priced.placed, run, tree.workload.execution, self.spec)
            energy_j = self.runtime.energy_j(watched, self.spec)
            values = rescale(values, energy_j, run.duration_s, self.intervals.of_regime(WITH_RUNTIME))
        shares = share_provenance(priced.provenance, priced.placed.energy_j)
        return Prediction(tree, self.spec.name, self.info, values, shares, fits_into(tree, self.spec))

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
        distance = self.domain.distance_of(table, provenance)
        width = find_widths(table.known_by.tolist(), provenance, distance, self.intervals).own
        energy_j = values.energy_j
        low_j, high_j = energy_j * np.exp(-width), energy_j * np.exp(width)
        burst_s = self.leaves.predict_burst_s(table)
        return LeafEstimates(values.duration_s, burst_s, values.power_w, energy_j, low_j, high_j, tuple(provenance))


def fits_into(tree: ModelTree, spec: DeviceSpec) -> bool | None:
    """Whether the peak of a workload's memory fits into a device; None where it was not traced."""
    return None if tree.memory is None else tree.memory.peak <= spec.memory_bytes
