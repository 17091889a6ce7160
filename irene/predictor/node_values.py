"""Energy, time and their parts at every node of a tree: arrays that keep what must hold between them."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from irene.account import PARTS
from irene.arrays import FloatArray

PROVENANCES = ("measured", "interpolated", "extrapolated", "transferred", "fallback")
"""Where a number comes from, best first."""

BOUNDS = ("compute_bound", "memory_bound", "power_bound", "host_bound", "communication_bound", "")
"""What limits a call; '' where nothing runs."""


@dataclass(frozen=True, slots=True, eq=False)
class NodeValues:
    """One value for each call of a tree, in walk order: arrays of shape (nodes,), `provenance` and `bound` of str.

    `energy_j` is attributed: a leaf's share of the root's energy, and at every node the sum of `compute_j`,
    `memory_j`, `static_j`, `launch_gap_j` and `communication_j`. `low_j` and `high_j` are its 90 % interval.
    `isolated_energy_j` is what the call would cost in a loop of its own.
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
    communication_j: FloatArray
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
        parts = sum((getattr(self, f"{part}_j") for part in PARTS), np.zeros(len(self.energy_j)))
        _require_close(parts, self.energy_j, "breakdown sums to {0:.9g} J where energy_j is {1:.9g} J")
        slack = 1e-9 * self.energy_j
        if not ((self.low_j <= self.energy_j + slack) & (self.energy_j <= self.high_j + slack)).all():
            raise ValueError("NodeValues: low_j <= energy_j <= high_j must hold at every node.")


def sum_ranks(values: NodeValues, ranks: int) -> NodeValues:
    """The values of a rank with the joules, FLOP and bytes of `ranks` equal ones; seconds stay, as all run at once."""
    if ranks == 1:
        return values
    names = [field.name for field in fields(NodeValues) if field.name.endswith("_j")]
    return replace(values, **{name: ranks * getattr(values, name) for name in (*names, "flop", "traffic_bytes")})


def _require_close(got: FloatArray, expected: FloatArray, message: str) -> None:
    wrong = np.flatnonzero(~np.isclose(got, expected, rtol=1e-6, atol=1e-12))
    if len(wrong):
        first = wrong[0]
        raise ValueError(f"NodeValues: at node {first}, " + message.format(got[first], expected[first]) + ".")
