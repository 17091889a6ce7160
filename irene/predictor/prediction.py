"""The value that a prediction is: energy and time of every call of a tree, beside the tree that it was made for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from irene.model_tree.addresses import address_nodes, find_nodes
from irene.model_tree.graph import FlatTree, FloatArray, flatten
from irene.model_tree.tree import ModelTree
from irene.units import format_quantity

if TYPE_CHECKING:
    import pandas

PROVENANCES = ("measured", "interpolated", "extrapolated", "transferred", "fallback")
"""Where a number comes from, best first."""

BOUNDS = ("compute_bound", "memory_bound", "power_bound", "host_bound", "")
"""What limits a call; '' where nothing runs."""

_PARTS = ("compute", "memory", "static", "launch_gap")


@dataclass(frozen=True, slots=True)
class PredictorInfo:
    """Which predictor made a number, and the rows it learned from."""

    name: str
    version: str
    trained_on: str


@dataclass(frozen=True, slots=True, eq=False)
class NodeValues:
    """One value for each call of a tree, in walk order: arrays of shape (nodes,), `provenance` and `bound` of str.

    `energy_j` is attributed: a leaf's share of the root's energy, and at every node the sum of `compute_j`,
    `memory_j`, `static_j` and `launch_gap_j`. `low_j` and `high_j` are its 90 % interval. `isolated_energy_j` is what
    the call would cost in a loop of its own.
    """

    energy_j: FloatArray
    low_j: FloatArray
    high_j: FloatArray
    duration_s: FloatArray
    isolated_energy_j: FloatArray
    compute_j: FloatArray
    memory_j: FloatArray
    static_j: FloatArray
    launch_gap_j: FloatArray
    flop: FloatArray
    traffic_bytes: FloatArray
    provenance: tuple[str, ...]
    bound: tuple[str, ...]

    def __post_init__(self) -> None:
        for field in fields(self):
            given = getattr(self, field.name)
            if field.name in ("provenance", "bound"):
                value: Any = tuple(map(str, given))
                unknown = set(value) - set(PROVENANCES if field.name == "provenance" else BOUNDS)
                if unknown:
                    raise ValueError(f"NodeValues.{field.name}: unknown {sorted(unknown)}.")
            else:
                value = np.array(given, dtype=np.float64)  # a copy: nobody can write into a prediction from outside
                value.flags.writeable = False
                if not (np.isfinite(value).all() and (value >= 0).all()):
                    raise ValueError(f"NodeValues.{field.name} must be finite and not negative at every node.")
            if len(value) != len(self.energy_j):
                raise ValueError(f"NodeValues.{field.name} has {len(value)} values, expected {len(self.energy_j)}.")
            object.__setattr__(self, field.name, value)
        parts = sum((getattr(self, f"{part}_j") for part in _PARTS), np.zeros(len(self.energy_j)))
        _require_close(parts, self.energy_j, "breakdown sums to {0:.9g} J where energy_j is {1:.9g} J")
        slack = 1e-9 * self.energy_j
        if not ((self.low_j <= self.energy_j + slack) & (self.energy_j <= self.high_j + slack)).all():
            raise ValueError("NodeValues: low_j <= energy_j <= high_j must hold at every node.")


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
class Prediction:
    """Energy, time and power of a model on a device, with where they go.

    `values` holds one value for each call of `tree`; the properties are those of the whole model.
    `provenance_shares` says which share of the energy comes from which kind of knowledge (it sums to 1).
    """

    tree: ModelTree
    device: str
    predictor: PredictorInfo
    values: NodeValues
    provenance_shares: Mapping[str, float]

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

    @property
    def energy_j(self) -> float:
        return float(self.values.energy_j[0])

    @property
    def interval_j(self) -> tuple[float, float]:
        """The 90 % interval of the energy."""
        return float(self.values.low_j[0]), float(self.values.high_j[0])

    @property
    def duration_s(self) -> float:
        return float(self.values.duration_s[0])

    @property
    def power_w(self) -> float | None:
        """Mean power over the call; `None` where no time passes."""
        return self.energy_j / self.duration_s if self.duration_s > 0 else None

    @property
    def provenance(self) -> str:
        """The worst provenance of any part; `provenance_shares` says how much of the energy it concerns."""
        return self.values.provenance[0]

    @property
    def bound(self) -> str:
        """What limits the whole, one of `BOUNDS`."""
        return self.values.bound[0]

    @property
    def breakdown_j(self) -> dict[str, float]:
        """Where the energy goes; sums to `energy_j`."""
        return self._breakdown([0])

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
            calls=len(found),
            energy_j=energy_j,
            interval_j=(float(values.low_j[found].sum()), float(values.high_j[found].sum())),
            duration_s=float(values.duration_s[found].sum()),
            isolated_energy_j=float(values.isolated_energy_j[found].sum()),
            breakdown_j=self._breakdown(found),
            flop=float(values.flop[found].sum()),
            traffic_bytes=float(values.traffic_bytes[found].sum()),
            parameters=nodes[0].parameters,
            share=self._share(energy_j),
            bound=values.bound[max(found, key=lambda i: float(values.energy_j[i]))],
            provenance=max((values.provenance[i] for i in found), key=PROVENANCES.index),
        )

    def rows(self) -> Iterator[dict[str, Any]]:
        """One flat dict for each node, in walk order."""
        for index, (node, path) in enumerate(zip(self.flat.nodes, address_nodes(self.flat), strict=True)):
            row: dict[str, Any] = {"path": path, "name": node.name, "kind": node.kind, "type": node.type}
            row |= {"depth": int(self.flat.depth[index]), "parameters": node.parameters}
            row |= {f.name: _plain(getattr(self.values, f.name)[index]) for f in fields(self.values)}
            yield row | {"share": self._share(row["energy_j"])}

    def to_frame(self) -> pandas.DataFrame:
        """One row for each node, in walk order."""
        import pandas  # here, not above: it costs half a second that a prediction does not need

        return pandas.DataFrame(list(self.rows()))

    def to_json(self) -> dict[str, Any]:
        """The object that `irene predict --format json` prints; README describes it."""
        from irene.predictor.prediction_json import prediction_to_json

        return prediction_to_json(self)

    def _breakdown(self, indices: list[int]) -> dict[str, float]:
        return {part: float(getattr(self.values, f"{part}_j")[indices].sum()) for part in _PARTS}

    def _share(self, energy_j: float) -> float:
        return energy_j / self.energy_j if self.energy_j > 0 else 0.0


def _plain(value: Any) -> Any:
    return value if isinstance(value, str) else float(value)


def _require_close(got: FloatArray, expected: FloatArray, message: str) -> None:
    wrong = np.flatnonzero(~np.isclose(got, expected, rtol=1e-6, atol=1e-12))
    if len(wrong):
        first = wrong[0]
        raise ValueError(f"NodeValues: at node {first}, " + message.format(got[first], expected[first]) + ".")
