"""The value that a prediction is: energy and time of every call of a tree, beside the tree that it was made for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from irene.account import PARTS, parts_of
from irene.arrays import IntArray
from irene.model_tree.addresses import address_nodes, find_nodes
from irene.model_tree.graph import FlatTree, flatten
from irene.model_tree.tree import ModelTree
from irene.predictor.bounds import bound_of
from irene.predictor.node_values import PROVENANCES, NodeValues, sum_ranks
from irene.predictor.phases import GenerationAnswers, Phase, answer_generation
from irene.showing import Shown
from irene.units import format_quantity


@dataclass(frozen=True, slots=True)
class PredictorInfo:
    """Which predictor made a number, and the rows it learned from."""

    name: str
    version: str
    trained_on: str


@dataclass(frozen=True, slots=True)
class NodePrediction:
    """Energy and time of one node, or of several calls of one module (summed; intervals as if errors went together)."""

    path: str
    kind: str
    type: str
    calls: int
    energy_j: float
    interval_j: tuple[float, float]
    duration_s: float
    isolated_energy_j: float
    breakdown_j: dict[str, float]
    flop: float
    traffic_bytes: float
    parameters: int
    share: float
    bound: str
    provenance: str

    @property
    def power_w(self) -> float | None:
        """Mean power; `None` where no time passes."""
        return self.energy_j / self.duration_s if self.duration_s > 0 else None


@dataclass(frozen=True, eq=False)
class Prediction(Shown):
    """Energy, time and power of a model on a device, with where they go.

    `values` holds one value for each call of `tree`; the properties are those of the whole model. Of several GPUs,
    `tree` and `values` are one rank's (the largest, where ranks differ), and energies of the whole sum all `ranks`.
    `provenance_shares` says which share of the energy comes from which kind of knowledge (it sums to 1).
    `fits` says whether the peak of its memory fits into the device, None where that is not known.
    """

    tree: ModelTree
    device: str
    predictor: PredictorInfo
    values: NodeValues
    provenance_shares: Mapping[str, float]
    fits: bool | None = None

    def __post_init__(self) -> None:
        if len(self.flat) != len(self.values.energy_j):
            raise ValueError(f"Prediction: {len(self.flat)} nodes, but {len(self.values.energy_j)} values.")
        self_j = self.values.energy_j.copy()
        np.subtract.at(self_j, self.flat.parent[1:], self.values.energy_j[1:])
        if (self_j < -1e-6 * self.values.energy_j - 1e-12).any():
            raise ValueError("Prediction: the children of a node have more energy than the node itself.")

    def __repr__(self) -> str:
        work, (low, high) = self.tree.workload, self.interval_j
        size = f"{work.batch_size}" if work.seq_len is None else f"{work.batch_size} x {work.seq_len}"
        return (
            f"<Prediction {self.tree.model} {size} {work.dtype} {work.execution} on {self.device}: "
            f"{format_quantity(self.energy_j, 'J')} [{format_quantity(low, 'J')} to {format_quantity(high, 'J')}], "
            f"{format_quantity(self.duration_s, 's')}, {self.provenance}>"
        )

    @cached_property
    def flat(self) -> FlatTree:
        """The tree as arrays, in the order of `values`."""
        return flatten(self.tree)

    @cached_property
    def counts(self) -> IntArray:
        """How often the call of each node is made."""
        counts = np.array([node.count for node in self.flat.nodes], dtype=np.int64)
        for index in range(1, len(counts)):
            counts[index] *= counts[self.flat.parent[index]]
        return counts

    @property
    def ranks(self) -> int:
        """The GPUs that share the model, each with the joules of `values`."""
        return self.tree.workload.gpus

    @cached_property
    def summed(self) -> NodeValues:
        """The values with the joules, FLOP and bytes of all ranks together; the time is that of one."""
        return sum_ranks(self.values, self.ranks)

    @property
    def energy_j(self) -> float:
        """Joules of one call, the boards of all ranks together."""
        return self.ranks * float(self.values.energy_j[0])

    @property
    def interval_j(self) -> tuple[float, float]:
        """The 90 % interval of the energy."""
        return self.ranks * float(self.values.low_j[0]), self.ranks * float(self.values.high_j[0])

    @property
    def duration_s(self) -> float:
        return float(self.values.duration_s[0])

    @property
    def power_w(self) -> float | None:
        """Mean power over the call; `None` where no time passes."""
        return self.energy_j / self.duration_s if self.duration_s > 0 else None

    @property
    def provenance(self) -> str:
        """The worst provenance of what matters: it and worse have 1 % of the energy; see `provenance_shares`."""
        return self.values.provenance[0]

    @property
    def bound(self) -> str:
        """What limits the whole, one of `BOUNDS`."""
        return self.values.bound[0]

    @property
    def breakdown_j(self) -> dict[str, float]:
        """Where the energy goes; sums to `energy_j`."""
        return {part: self.ranks * joules for part, joules in self._breakdown([0]).items()}

    @cached_property
    def generation(self) -> GenerationAnswers | None:
        """The answers of a generation; None of a forward pass."""
        return answer_generation(self.flat, self.summed, self.tree.workload)

    @property
    def memory_bytes(self) -> dict[str, int] | None:
        """Bytes on one GPU: weights, kv_cache, activations, and the peak; None of a tree that was saved without."""
        return None if self.tree.memory is None else self.tree.memory.to_json()

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of a generation, in order; empty of a forward pass."""
        return self.generation.phases if self.generation else ()

    @property
    def energy_per_output_token_j(self) -> float | None:
        """Joules of the whole generation for each token of each sample; None of a forward pass."""
        return self.generation.energy_per_output_token_j if self.generation else None

    @property
    def prefill_energy_j(self) -> float | None:
        return self.generation.prefill_energy_j if self.generation else None

    @property
    def decode_energy_j(self) -> float | None:
        return self.generation.decode_energy_j if self.generation else None

    @property
    def time_to_first_token_s(self) -> float | None:
        return self.generation.time_to_first_token_s if self.generation else None

    @property
    def time_per_output_token_s(self) -> float | None:
        """Mean time between two tokens; None where there is only one, or none."""
        return self.generation.time_per_output_token_s if self.generation else None

    def node(self, path: str) -> NodePrediction:
        """Energy and time of one module (all its calls together), of one call, or of one leaf.

        `path` is the one of `named_modules()`; 'path@3' is the fourth call of that module, 'path/linear#1' the second
        `linear` that it calls itself. Raises `UnknownName` with the nearest path.
        """
        found = find_nodes(self.flat, path)
        values, nodes = self.values, [self.flat.nodes[i] for i in found]
        energy_j = float(values.energy_j[found].sum())
        return NodePrediction(
            path=path,
            kind=nodes[0].kind,
            type=nodes[0].type,
            calls=int(self.counts[found].sum()),
            energy_j=energy_j,
            interval_j=(float(values.low_j[found].sum()), float(values.high_j[found].sum())),
            duration_s=float(values.duration_s[found].sum()),
            isolated_energy_j=float(values.isolated_energy_j[found].sum()),
            breakdown_j=self._breakdown(found),
            flop=float(values.flop[found].sum()),
            traffic_bytes=float(values.traffic_bytes[found].sum()),
            parameters=nodes[0].parameters,
            share=self._share(energy_j),
            bound=bound_of(values, found, self.device),
            provenance=max((values.provenance[i] for i in found), key=PROVENANCES.index),
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """One flat dict for each node, in walk order; of several GPUs, one rank's."""
        parts = {f"{part}_j" for part in PARTS} - {f"{part}_j" for part in parts_of(self.ranks)}
        columns = [field.name for field in fields(self.values) if field.name not in parts]
        for index, (node, path) in enumerate(zip(self.flat.nodes, address_nodes(self.flat), strict=True)):
            row: dict[str, Any] = {"path": path, "name": node.name, "kind": node.kind, "type": node.type}
            row |= {"calls": int(self.counts[index])} if self.phases else {}
            row |= {"depth": int(self.flat.depth[index]), "parameters": node.parameters}
            row |= {name: _plain(getattr(self.values, name)[index]) for name in columns}
            yield row | {"share": self._share(row["energy_j"])}

    def _breakdown(self, indices: list[int]) -> dict[str, float]:
        return {part: float(getattr(self.values, f"{part}_j")[indices].sum()) for part in parts_of(self.ranks)}

    def _share(self, energy_j: float) -> float:
        """Of a rank's own joules."""
        whole_j = float(self.values.energy_j[0])
        return energy_j / whole_j if whole_j > 0 else 0.0


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else float(value)
