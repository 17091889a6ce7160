"""What is to be beaten: power cap x roofline time, and energy proportional to FLOP. The plain sum of leaves needs a
predictor and is passed to the error table as a column.

Frames carry `flop` and `traffic_bytes` per call beside the columns of `Row`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import pandas as pd

from irene.errors import UnknownName

Floats = npt.NDArray[np.float64]


def roofline_duration_s(frame: pd.DataFrame, peak_flop_per_s: Mapping[str, float], memory_bytes_per_s: float) -> Floats:
    """Time of each row if arithmetic and memory both ran at their peaks, the slower one deciding.

    `peak_flop_per_s` is by dtype name ('bfloat16'). Raises `UnknownName` for a dtype without a peak, and `ValueError`
    for a row without any work: nothing takes no time.
    """
    for dtype in frame["dtype"].unique():
        if dtype not in peak_flop_per_s:
            raise UnknownName("dtype", str(dtype), peak_flop_per_s, hint="The roofline needs its peak in FLOP/s.")
    compute_s = frame["flop"].to_numpy(dtype=float) / frame["dtype"].map(dict(peak_flop_per_s)).to_numpy(dtype=float)
    memory_s = frame["traffic_bytes"].to_numpy(dtype=float) / memory_bytes_per_s
    durations = np.maximum(compute_s, memory_s)
    if not (np.isfinite(durations) & (durations > 0)).all():
        raise ValueError("a row has neither FLOP nor bytes, or they are not numbers")
    return durations


def power_cap_roofline_j(
    frame: pd.DataFrame, power_cap_w: float, peak_flop_per_s: Mapping[str, float], memory_bytes_per_s: float
) -> Floats:
    """Energy of each row if it ran for its roofline time at the power cap."""
    return power_cap_w * roofline_duration_s(frame, peak_flop_per_s, memory_bytes_per_s)


@dataclass(frozen=True, slots=True)
class FlopProportional:
    """Energy = FLOP x one constant for each (dtype, execution). Made by `fit_flop_proportional`."""

    j_per_flop: Mapping[tuple[str, str], float] = field(repr=False)

    def predict_j(self, frame: pd.DataFrame) -> Floats:
        """0 J for a call without FLOP: that is what the baseline says. NaN where training had no such constant."""
        constants = [
            self.j_per_flop.get(key, float("nan")) for key in zip(frame["dtype"], frame["execution"], strict=True)
        ]
        energy_j: Floats = np.array(constants, dtype=float) * frame["flop"].to_numpy(dtype=float)
        return energy_j


def fit_flop_proportional(rows: pd.DataFrame) -> FlopProportional:
    """The constants with the smallest mean absolute percentage error on training `rows` (with `energy_j`, `flop`).

    With c x flop / energy - 1 as the error of a row, that constant is the median of energy / flop weighted with
    flop / energy: the baseline is as good as its form allows, on the measure by which it is judged.
    """
    usable = rows[rows["energy_j"].notna() & (rows["flop"] > 0)]
    constants: dict[tuple[str, str], float] = {}
    for (dtype, execution), group in usable.groupby(["dtype", "execution"]):
        ratio = group["energy_j"].to_numpy(dtype=float) / group["flop"].to_numpy(dtype=float)
        constants[str(dtype), str(execution)] = _weighted_median(ratio, 1.0 / ratio)
    return FlopProportional(MappingProxyType(constants))


def _weighted_median(values: Floats, weights: Floats) -> float:
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, cumulative[-1] / 2)])
