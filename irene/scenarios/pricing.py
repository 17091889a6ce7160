"""What passes of many shapes cost: each distinct shape priced once by the one pipeline, or a few and those between.

A table has an axis of rows, one of tokens and one of new tokens, and a price at each crossing. Where there would be too
many crossings, some of each axis are priced, and a shape between them goes straight from one to the next.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from irene.account import name_regime
from irene.arrays import FloatArray, IntArray
from irene.errors import BadInput
from irene.hardware.devices import load_device
from irene.hardware.spec import DeviceSpec
from irene.predictor import predict, sweep
from irene.predictor.prediction import Prediction, PredictorInfo
from irene.scenarios.streams import Shape

MOST_POINTS = {"forward": 400, "generation": 24}
"""Crossings that are priced: 10 ms each for forward passes, a second or two for generations."""


@dataclass(frozen=True, slots=True, eq=False)
class Prices:
    """One value a shape: arrays of one length. `up` and `down` are half-widths of the 90 % interval, in log energy."""

    energy_j: FloatArray
    duration_s: FloatArray
    up: FloatArray
    down: FloatArray
    host_bound: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class PriceTable:
    """Prices at the crossings of `axes` (rows, tokens, new tokens): arrays of shape (rows, tokens, new tokens, 5)."""

    axes: tuple[IntArray, IntArray, IntArray]
    values: FloatArray
    predictor: PredictorInfo
    asked: int

    @property
    def points(self) -> int:
        return self.values[..., 0].size

    def at(self, shapes: IntArray) -> Prices:
        """The prices of shapes (n, 3): those of crossings as they are, others on the straight line between two."""
        low, share = [], []
        for axis, column in zip(self.axes, shapes.T, strict=True):
            place = np.interp(column, axis, np.arange(len(axis)))
            low.append(np.minimum(place.astype(np.int64), len(axis) - 1))
            share.append(place - low[-1])
        found = np.zeros((len(shapes), self.values.shape[-1]))
        for corner in product((0, 1), repeat=3):
            at = tuple(np.minimum(i + c, len(axis) - 1) for i, c, axis in zip(low, corner, self.axes, strict=True))
            weight = np.prod([s if c else 1.0 - s for s, c in zip(share, corner, strict=True)], axis=0)
            found += weight[:, None] * self.values[at]
        return Prices(*found.T)


def price_shapes(model: Any, shapes: IntArray, settings: Mapping[str, Any], device: str) -> PriceTable:
    """The prices of all `shapes` (n, 3) of a model. `settings` are keyword arguments of `predict`.

    Raises BadInput and its kinds.
    """
    spec = load_device(device)
    whole = tuple(np.unique(column) for column in shapes.T)
    is_generation = bool(shapes[:, 2].any())
    axes = thin_axes(whole, MOST_POINTS["generation" if is_generation else "forward"])
    price = _price_generations if is_generation else _price_forward
    values, info = price(model, axes, settings, spec, device)
    rows, tokens, new_tokens = axes
    return PriceTable((rows, tokens, new_tokens), values, info, math.prod(map(len, whole)))


def thin_axes(axes: Sequence[IntArray], most: int) -> list[IntArray]:
    """Axes with at most `most` crossings in all: of the longest, those evenly apart by ratio, ends among them.

    >>> [axis.tolist() for axis in thin_axes([np.arange(1, 65), np.array([8, 9])], 12)]
    [[1, 2, 5, 13, 29, 64], [8, 9]]
    """
    thinned = list(axes)
    while math.prod(map(len, thinned)) > most:
        longest = max(range(len(thinned)), key=lambda i: len(thinned[i]))
        others = math.prod(len(axis) for i, axis in enumerate(thinned) if i != longest)
        keep = max(2, most // others, len(thinned[longest]) // 2)
        axis = thinned[longest]
        if keep >= len(axis):
            break
        wanted = np.geomspace(max(axis[0], 1), max(axis[-1], 1), keep)
        nearest = np.abs(axis[None, :] - wanted[:, None]).argmin(axis=1)
        thinned[longest] = axis[np.unique(np.concatenate([[0], nearest, [len(axis) - 1]]))]
        if len(thinned[longest]) == len(axis):
            break
    return thinned


def heaviest(shapes: IntArray) -> Shape:
    """The shape that needs most memory: most rows times tokens."""
    rows, tokens, new_tokens = shapes[np.argmax(shapes[:, 0] * np.maximum(shapes[:, 1] + shapes[:, 2], 1))]
    return Shape(int(rows), int(tokens), int(new_tokens))


def predict_shape(model: Any, shape: Shape, settings: Mapping[str, Any], device: str) -> Prediction:
    """The prediction of one shape. Raises BadInput where it does not fit into the device's memory."""
    with warnings.catch_warnings():  # what predict warns of is refused below, and a sweep of the model says the rest
        warnings.simplefilter("ignore", UserWarning)
        asked = dict(settings) | ({"new_tokens": shape.new_tokens} if shape.new_tokens else {})
        found = predict(model, batch_size=shape.rows, seq_len=shape.tokens or None, device=device, **asked)
    if found.fits is False and found.tree.memory is not None:
        spec = load_device(device)
        raise BadInput(
            f"{found.tree.model}: a batch of {shape.rows} inputs needs {found.tree.memory.peak / 1e9:,.0f} GB, and one "
            f"{spec.name} has {spec.memory_bytes / 1e9:,.0f}; give a smaller batch_size, or shorter inputs."
        )
    return found


def _price_forward(
    model: Any, axes: Sequence[IntArray], settings: Mapping[str, Any], spec: DeviceSpec, device: str
) -> tuple[FloatArray, PredictorInfo]:
    rows, tokens, _ = axes
    lengths = [int(n) or None for n in tokens]
    swept = sweep(model, batch_sizes=rows.tolist(), seq_lens=lengths, device=device, **settings)
    v = swept.values
    execution = swept.workloads[0].execution
    table = np.stack(
        [_columns(*point, execution, spec) for point in zip(v.energy_j, v.duration_s, v.low_j, v.high_j, v.launch_gap_j,
                                                            strict=True)]
    ).reshape(len(rows), -1, 1, 5)  # fmt: skip
    return np.repeat(table, len(tokens), axis=1) if table.shape[1] == 1 else table, swept.predictor


def _price_generations(
    model: Any, axes: Sequence[IntArray], settings: Mapping[str, Any], spec: DeviceSpec, device: str
) -> tuple[FloatArray, PredictorInfo]:
    found = []
    for rows, tokens, new_tokens in product(*axes):
        p = predict_shape(model, Shape(int(rows), int(tokens), int(new_tokens)), settings, device)
        gap_j = float(p.values.launch_gap_j[0])
        found.append(_columns(p.energy_j, p.duration_s, *p.interval_j, gap_j, p.tree.workload.execution, spec))
    return np.stack(found).reshape(*map(len, axes), 5), p.predictor


def _columns(
    energy_j: float, duration_s: float, low_j: float, high_j: float, gap_j: float, execution: str, spec: DeviceSpec
) -> FloatArray:
    regime = name_regime(execution, gap_j / spec.context_idle_power_w, duration_s)
    up, down = math.log(high_j / energy_j), math.log(energy_j / low_j)
    return np.array([energy_j, duration_s, up, down, float(regime == "host_bound")])
