"""Portions of a prediction: its nodes at a depth, its layers, its kinds of primitives; each list sums to the whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from irene.explanation.explanation import Portion
from irene.explanation.parts import Part, cut_into_parts
from irene.hardware.roofline import ridge_flop_per_byte
from irene.hardware.spec import DeviceSpec, load_device
from irene.model_tree.addresses import address_nodes
from irene.model_tree.folding import FoldedRow, fold, number_shapes
from irene.predictor.attribution import name_bounds
from irene.predictor.prediction import PROVENANCES, Prediction
from irene.primitives.kinds import kind_of

PARTS = ("compute", "memory", "static", "launch_gap")


def describe_whole(prediction: Prediction) -> Portion:
    """The model itself as one portion."""
    root = prediction.tree.root
    return make_portion(prediction, root.type, root.kind, [0])


def nodes_at_depth(prediction: Prediction, depth: int, *, unfold: bool = False) -> tuple[Portion, ...]:
    """The calls at a depth of the tree (0: the root), and leaves that end above it, most energy first.

    Equal neighbours of one list are one portion, unless `unfold`.
    """
    if unfold:
        flat, addresses = prediction.flat, address_nodes(prediction.flat)
        here = [
            index
            for index in range(len(flat))
            if flat.depth[index] == depth or (flat.depth[index] < depth and flat.subtree_end[index] == index + 1)
        ]
        portions = [
            make_portion(prediction, addresses[index] or flat.nodes[index].type, flat.nodes[index].kind, [index])
            for index in here
        ]
    else:
        portions = [
            make_portion(prediction, label, row.kind, row.indices)
            for label, row in _ends(fold(prediction.flat, depth), "")
        ]
    return tuple(sorted(portions, key=lambda portion: -portion.energy_j))


def layers_of(prediction: Prediction, *, unfold: bool = False) -> tuple[Portion, ...]:
    """The parts of a model in call order: its layers, and what stands around them. Equal neighbours are one portion."""
    flat = prediction.flat
    shapes = number_shapes(flat)
    groups: list[list[Part]] = []
    for part in cut_into_parts(flat):
        before = groups[-1][-1] if groups else part
        follows = bool(groups and part.stack) and part.stack == before.stack
        if follows and not unfold and shapes[part.indices[0]] == shapes[before.indices[0]]:
            groups[-1].append(part)
        else:
            groups.append([part])
    portions = []
    for group in groups:
        indices = [index for part in group for index in part.indices]
        portions.append(make_portion(prediction, _range_label(group), group[0].role, indices, len(group)))
    return tuple(portions)


def kinds_of(prediction: Prediction) -> tuple[Portion, ...]:
    """Primitives by kind ('gemm', 'attention', 'norm', ...), most energy first."""
    flat = prediction.flat
    found: dict[str, list[int]] = {}
    for index in flat.leaf_index:
        call = flat.nodes[index].call
        assert call is not None
        found.setdefault(kind_of(call), []).append(int(index))
    portions = [make_portion(prediction, kind, "primitive", indices) for kind, indices in found.items()]
    return tuple(sorted(portions, key=lambda portion: -portion.energy_j))


def make_portion(
    prediction: Prediction, label: str, kind: str, indices: Sequence[int], calls: int | None = None
) -> Portion:
    """The sum over some nodes, none of them inside another."""
    values, at = prediction.values, list(indices)
    spec = load_device(prediction.device)
    energy_j, duration_s = float(values.energy_j[at].sum()), float(values.duration_s[at].sum())
    breakdown_j = {part: float(getattr(values, f"{part}_j")[at].sum()) for part in PARTS}
    flop, traffic_bytes = float(values.flop[at].sum()), float(values.traffic_bytes[at].sum())
    count = len(at) if calls is None else calls
    joules = {part: np.array([value]) for part, value in breakdown_j.items()}
    bound = name_bounds(spec, np.array([energy_j]), np.array([duration_s]), joules)[0]
    return Portion(
        label=label,
        kind=kind,
        calls=count,
        energy_j=energy_j,
        each_j=energy_j / count,
        share=energy_j / prediction.energy_j if prediction.energy_j > 0 else 0.0,
        duration_s=duration_s,
        power_w=energy_j / duration_s if duration_s > 0 else None,
        breakdown_j=breakdown_j,
        flop=flop,
        traffic_bytes=traffic_bytes,
        flop_per_byte=flop / traffic_bytes if traffic_bytes > 0 else None,
        bound=bound,
        why=_say_why(bound, energy_j, duration_s, breakdown_j, spec),
        provenance=max((values.provenance[index] for index in at), key=PROVENANCES.index),
    )


def ridge_of(prediction: Prediction, spec: DeviceSpec) -> float:
    """FLOP a byte above which matrix products in the workload's dtype are bound by arithmetic."""
    return ridge_flop_per_byte(prediction.tree.workload.dtype, spec)


def _say_why(bound: str, energy_j: float, duration_s: float, breakdown_j: dict[str, float], spec: DeviceSpec) -> str:
    if not bound:
        return "launches nothing"
    if bound == "host_bound":
        waits = min(1.0, breakdown_j["launch_gap"] / spec.context_idle_power_w / duration_s)
        return f"waits for the host {waits:.0%} of the time"
    if bound == "power_bound":
        power_w, cap_w = energy_j / duration_s, spec.power_cap_w
        return f"at the power cap, {power_w:.0f} of {cap_w:.0f} W: clocks go down"
    side = "compute" if bound == "compute_bound" else "memory"
    dynamic_j = breakdown_j["compute"] + breakdown_j["memory"]
    what = "arithmetic" if side == "compute" else "memory traffic"
    return f"{what} takes {breakdown_j[side] / dynamic_j:.0%} of the dynamic energy" if dynamic_j > 0 else what


def _ends(row: FoldedRow, above: str) -> Iterator[tuple[str, FoldedRow]]:
    """The rows without rows below them, each with a label that says where it is."""
    separator = "/" if row.kind == "primitive" else "."
    here = f"{above}{separator if above else ''}{_shorten(row.label)}" if row.depth else ""
    if not row.children:
        yield here or row.label, row
    for child in row.children:
        yield from _ends(child, here)


def _shorten(label: str) -> str:
    """'layer.0 ... 11 (x12)' -> 'layer.0-11'."""
    return re.sub(r" \.\.\. (?:\S*\D)?(\d+) \(x\d+\)$", r"-\1", label)


def _range_label(group: Sequence[Part]) -> str:
    """'encoder.layer.0-11' for twelve layers in a row; 'encoder.albert_layer_groups.0@0-11' for twelve calls of one."""
    first, last = group[0].label, group[-1].label
    return first if first == last else f"{first}-{last[len(last.rstrip('0123456789')) :]}"
