"""What a report shows, as plain values: folded rows, layers, kinds and roofline points of one prediction.

The page (JavaScript) and the static figures (matplotlib) draw the same object. Equal layers are folded, so that a model
of ten thousand calls is a few hundred rows. SI units throughout; lists run in parallel, one entry a row.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from irene.explanation.segments import cut_into_segments
from irene.hardware.devices import load_device
from irene.hardware.spec import DeviceSpec
from irene.model_tree.addresses import address_nodes
from irene.model_tree.folding import FoldedRow, fold
from irene.model_tree.workload import describe_workload
from irene.predictor.bounds import bound_of
from irene.predictor.node_values import PROVENANCES
from irene.primitives.kinds import kind_of
from irene.reporting import wording

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction

PARTS = tuple(wording.PARTS)
_EVERY_LEVEL = 1_000
_DIGITS = 7
"""Significant digits of a number in the page: more than the eye sees, fewer bytes than Python writes."""


def report_data(prediction: Prediction, name: str) -> dict[str, Any]:
    """Everything that the figures of one prediction need; JSON-ready."""
    spec = load_device(prediction.device)
    low_j, high_j = prediction.interval_j
    rows = list(number_rows(fold(prediction.flat, _EVERY_LEVEL)))
    return {
        "name": name,
        "model": prediction.tree.model,
        "workload": describe_workload(prediction.tree.workload),
        "device": spec.title,
        "energy_j": prediction.energy_j,
        "interval_j": [low_j, high_j],
        "duration_s": prediction.duration_s,
        "power_w": prediction.power_w,
        "power_cap_w": prediction.ranks * spec.power_cap_w,
        "energy_per_sample_j": wording.energy_per_sample_j(prediction),
        "energy_per_token_j": wording.energy_per_token_j(prediction),
        "breakdown_j": prediction.breakdown_j,
        "rows": _tabulate_rows(prediction, rows),
        "layers": _tabulate_layers(prediction),
        "kinds": _tabulate_kinds(prediction),
        "roofline": _tabulate_roofline(prediction, rows, spec),
    }


def number_rows(root: FoldedRow) -> Iterator[tuple[FoldedRow, int]]:
    """Rows with the number of the row above (-1 for the root), parents first."""
    stack = [(root, -1)]
    count = 0
    while stack:
        row, above = stack.pop()
        yield row, above
        stack.extend((child, count) for child in reversed(row.children))
        count += 1


def _tabulate_rows(prediction: Prediction, rows: Sequence[tuple[FoldedRow, int]]) -> dict[str, list[Any]]:
    flat, values, addresses = prediction.flat, prediction.summed, address_nodes(prediction.flat)
    table: dict[str, list[Any]] = {
        "label": [_shorten(row.label) for row, _ in rows],
        "path": [merge_addresses([addresses[index] for index in row.indices]) for row, _ in rows],
        "parent": [above for _, above in rows],
        "kind": [row.kind for row, _ in rows],
        "type": [flat.nodes[row.indices[0]].type for row, _ in rows],
        "calls": [len(row.indices) for row, _ in rows],
        "bound": [_bound_of(prediction, row.indices) for row, _ in rows],
        "provenance": [
            max((values.provenance[index] for index in row.indices), key=PROVENANCES.index) for row, _ in rows
        ],
    }
    for column in ("energy_j", "low_j", "high_j", "duration_s", "flop", "traffic_bytes", *(f"{p}_j" for p in PARTS)):
        array = getattr(values, column)
        table[column] = [_round(float(array[row.indices].sum())) for row, _ in rows]
    return table


def _tabulate_layers(prediction: Prediction) -> dict[str, list[Any]]:
    layers = cut_into_segments(prediction.flat)
    table: dict[str, list[Any]] = {
        "label": [layer.label for layer in layers],
        "bound": [_bound_of(prediction, layer.indices) for layer in layers],
    }
    for column in ("energy_j", "low_j", "high_j", "duration_s", *(f"{part}_j" for part in PARTS)):
        array = getattr(prediction.summed, column)
        table[column] = [_round(float(array[list(layer.indices)].sum())) for layer in layers]
    return table


def _tabulate_kinds(prediction: Prediction) -> dict[str, list[Any]]:
    """Energy and its parts by kind of primitive, most energy first; kinds without any are left out."""
    sums: dict[str, Any] = {}
    columns = ("energy_j", "duration_s", *(f"{part}_j" for part in PARTS))
    for index in prediction.flat.leaf_index:
        call = prediction.flat.nodes[index].call
        assert call is not None
        one = np.array([getattr(prediction.summed, column)[index] for column in columns])
        kind = kind_of(call)
        sums[kind] = sums[kind] + one if kind in sums else one
    order = sorted((kind for kind in sums if sums[kind][0] > 0), key=lambda kind: -sums[kind][0])
    table: dict[str, list[Any]] = {"kind": order}
    for position, column in enumerate(columns):
        table[column] = [_round(float(sums[kind][position])) for kind in order]
    return table


def _tabulate_roofline(
    prediction: Prediction, rows: Sequence[tuple[FoldedRow, int]], spec: DeviceSpec
) -> dict[str, Any]:
    """Leaves that calculate: FLOP per byte against FLOP/s while the GPU runs them; waiting for the host is left out."""
    values, nodes = prediction.values, prediction.flat.nodes  # of one rank, as the roofs are of one GPU
    points: dict[str, list[Any]] = {"row": [], "kind": [], "intensity": [], "flop_per_s": []}
    shown_j = 0.0
    for number, (row, _) in enumerate(rows):
        call = nodes[row.indices[0]].call
        flop, traffic = float(values.flop[row.indices].sum()), float(values.traffic_bytes[row.indices].sum())
        waiting_s = float(values.launch_gap_j[row.indices].sum()) / spec.context_idle_power_w
        busy_s = float(values.duration_s[row.indices].sum()) - waiting_s
        if call is None or flop <= 0 or traffic <= 0 or busy_s <= 0:
            continue
        points["row"].append(number)
        points["kind"].append(kind_of(call))
        points["intensity"].append(_round(flop / traffic))
        points["flop_per_s"].append(_round(flop / busy_s))
        shown_j += float(values.energy_j[row.indices].sum())
    dtype = prediction.tree.workload.dtype
    return points | {
        "dtype": dtype,
        "peak_flop_per_s": spec.peak(dtype),
        "vector_flop_per_s": spec.vector_flop_per_s,
        "bytes_per_s": spec.hbm_bytes_per_s,
        "shown_share": _round(prediction.ranks * shown_j / (prediction.energy_j or 1.0)),
    }


def merge_addresses(addresses: Sequence[str]) -> str:
    """One text for the addresses of equal nodes; numbers that differ become a range.

    >>> merge_addresses(["layer.0.dense", "layer.1.dense", "layer.2.dense"])
    'layer.0-2.dense'
    >>> merge_addresses(["pooler"]), merge_addresses(["a.0", "b.c"])
    ('pooler', 'a.0')
    """
    split = [re.split(r"(\d+)", address) for address in addresses]
    if any(len(parts) != len(split[0]) for parts in split):
        return addresses[0]
    merged = []
    for same in zip(*split, strict=True):
        if len(set(same)) == 1:
            merged.append(same[0])
        elif all(part.isdigit() for part in same):
            numbers = [int(part) for part in same]
            merged.append(f"{min(numbers)}-{max(numbers)}")
        else:
            return addresses[0]
    return "".join(merged)


def _bound_of(prediction: Prediction, indices: Sequence[int]) -> str:
    return bound_of(prediction.values, indices, prediction.device)


def _shorten(label: str) -> str:
    """'layer.0 ... 11 (x12)' as 'layer.0-11 (x12)': boxes are narrow."""
    return label.replace(" ... ", "-")


def _round(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
