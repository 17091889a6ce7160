"""What is to be beaten: power cap x roofline time, and energy proportional to FLOP.

The plain sum of leaves needs a predictor: `judge` asks it. Frames carry `flop` and `roofline_s` per call beside the
columns of `Row`, as `count_case_work` adds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import pandas as pd

from irene.arrays import FloatArray
from irene.errors import BadDataset
from irene.hardware.roofline import roofline_s
from irene.hardware.spec import DeviceSpec
from irene.predictor.training_data import read_tree
from irene.primitives.call import read_signature
from irene.primitives.work import count_work

Floats = FloatArray


def count_case_work(rows: pd.DataFrame, spec: DeviceSpec) -> pd.DataFrame:
    """The rows with `flop` and `roofline_s` added: a primitive's from its signature, a model's summed over its leaves.

    The roofline is taken kernel by kernel, at the peaks and the bandwidth of `spec`. Raises `BadDataset` for a row with
    neither signature nor tree, `UnknownName` for a dtype without a peak.
    """
    work = []
    for signature, tree, dtype, case in zip(rows["signature"], rows["tree"], rows["dtype"], rows["case"], strict=True):
        if not signature and not tree:
            raise BadDataset(f"Case {case!r} has neither a signature nor a tree: its work cannot be counted.")
        work.append(_count(signature, tree, dtype, spec))
    flop, seconds = np.array(work, dtype=float).reshape(-1, 2).T
    return rows.assign(flop=flop, roofline_s=seconds)


def power_cap_roofline_j(frame: pd.DataFrame, spec: DeviceSpec) -> Floats:
    """Energy of each row if it ran for its roofline time at the power cap."""
    return spec.power_cap_w * frame["roofline_s"].to_numpy(dtype=float)


@dataclass(frozen=True, slots=True)
class FlopProportional:
    """Energy = FLOP x one constant for each (level, dtype, execution). Made by `fit_flop_proportional`."""

    j_per_flop: Mapping[tuple[str, str, str], float] = field(repr=False)

    def predict_j(self, frame: pd.DataFrame) -> Floats:
        """0 J for a call without FLOP: that is what the baseline says. NaN where training had no such constant."""
        keys = zip(frame["level"], frame["dtype"], frame["execution"], strict=True)
        constants = [self.j_per_flop.get(key, float("nan")) for key in keys]
        energy_j: Floats = np.array(constants, dtype=float) * frame["flop"].to_numpy(dtype=float)
        return energy_j


def fit_flop_proportional(rows: pd.DataFrame) -> FlopProportional:
    """The constants with the smallest mean absolute percentage error on training `rows` (with `energy_j`, `flop`).

    With c x flop / energy - 1 as the error of a row, that constant is the median of energy / flop weighted with
    flop / energy: the baseline is as good as its form allows, on the measure by which it is judged.
    """
    usable = rows[rows["energy_j"].notna() & (rows["flop"] > 0)]
    constants: dict[tuple[str, str, str], float] = {}
    for (level, dtype, execution), group in usable.groupby(["level", "dtype", "execution"]):
        ratio = group["energy_j"].to_numpy(dtype=float) / group["flop"].to_numpy(dtype=float)
        constants[str(level), str(dtype), str(execution)] = _weighted_median(ratio, 1.0 / ratio)
    return FlopProportional(MappingProxyType(constants))


@lru_cache(maxsize=16384)  # every fold trains on nearly the same rows
def _count(signature: str, tree: str, dtype: str, spec: DeviceSpec) -> tuple[float, float]:
    if signature:
        calls = [read_signature(signature)]
    else:
        calls = [leaf.call for leaf in read_tree(tree).root.leaves if leaf.call is not None]
    work = [count_work(call) for call in calls]
    return sum(part.flop for part in work), sum(roofline_s(part, dtype, spec) for part in work)


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, cumulative[-1] / 2)])
