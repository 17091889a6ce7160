"""What limits the time of some nodes: the host, the power cap, arithmetic, memory traffic or communication."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from irene.account import PARTS, is_host_bound
from irene.arrays import FloatArray
from irene.errors import UnknownName
from irene.hardware.devices import load_device
from irene.hardware.spec import DeviceSpec
from irene.predictor.node_values import NodeValues

# A measured case is called power-bound from 95 % of the cap; predicted power is a few per cent wrong, and at the cap an
# error can only lower it. experiments/explanations has the agreement for other shares, and for one chosen elsewhere.
_POWER_BOUND_SHARE = 0.92


def name_bounds(
    spec: DeviceSpec, energy_j: FloatArray, duration_s: FloatArray, parts: Mapping[str, FloatArray]
) -> list[str]:
    """What limits each of some nodes, one of `BOUNDS`; all arrays, those of the parts too, are of one shape (nodes,).

    Where the GPU waits for the host, the host; where the board's mean power is near its cap, power; else whichever of
    arithmetic, memory traffic and communication takes most of the dynamic energy.
    """
    gap_s = parts["launch_gap"] / spec.context_idle_power_w
    power_w = np.divide(energy_j, duration_s, out=np.zeros_like(energy_j), where=duration_s > 0)
    conditions = [
        duration_s <= 0,
        is_host_bound(gap_s, duration_s),
        power_w > _POWER_BOUND_SHARE * spec.power_cap_w,
        parts.get("communication", np.zeros_like(energy_j)) > np.maximum(parts["compute"], parts["memory"]),
        parts["compute"] > parts["memory"],
    ]
    names = ["", "host_bound", "power_bound", "communication_bound", "compute_bound"]
    return [str(bound) for bound in np.select(conditions, names, default="memory_bound")]


def bound_of(values: NodeValues, indices: Sequence[int], device: str) -> str:
    """What limits several nodes together, none of them inside another, as if they were one: by their sums.

    On a device without a spec sheet here (a prediction that somebody saved) it is that of the largest.
    """
    at = list(indices)
    if len(at) == 1:
        return values.bound[at[0]]
    spec = _find_device(device)
    if spec is None:
        return values.bound[max(at, key=lambda index: float(values.energy_j[index]))]
    energy_j, duration_s = (np.array([array[at].sum()]) for array in (values.energy_j, values.duration_s))
    parts = {part: np.array([getattr(values, f"{part}_j")[at].sum()]) for part in PARTS}
    return name_bounds(spec, energy_j, duration_s, parts)[0]


def mean_power_w(device: str, energy_j: float, duration_s: float) -> float | None:
    """Mean power of a part as the board shows it: at most the cap. None where no time passes.

    Joules are shared out by what each part draws, and the clock of a whole is lowered until its mean keeps to the cap:
    the joules of a hungry part over its own time are then above it, those of the others below.
    """
    if not duration_s > 0:
        return None
    spec = _find_device(device)
    return energy_j / duration_s if spec is None else min(energy_j / duration_s, spec.power_cap_w)


def _find_device(name: str) -> DeviceSpec | None:
    try:
        return load_device(name)
    except UnknownName:
        return None
