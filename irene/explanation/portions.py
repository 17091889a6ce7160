"""Portions of a prediction: its nodes at a depth, its layers, its kinds of primitives; each list sums to the whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np

from irene.account import PARTS, parts_of
from irene.explanation.explanation import Portion
from irene.explanation.segments import Segment, cut_into_segments
from irene.hardware.devices import load_device
from irene.hardware.roofline import ridge_flop_per_byte
from irene.hardware.spec import DeviceSpec
from irene.model_tree.addresses import address_nodes
from irene.model_tree.folding import FoldedRow, fold, number_shapes
from irene.predictor.bounds import mean_power_w, name_bounds
from irene.predictor.node_intervals import joules_by_provenance, name_provenance
from irene.predictor.prediction import Prediction
from irene.primitives.kinds import kind_of

UNFUSED = frozenset({"elementwise", "activation", "copy", "fill", "reduction"})
"""Kinds that a compiler would fuse into their neighbours: each reads and writes its tensors for little arithmetic."""
_MUCH = 1 / 3
_MOST_RANGES = 4
# The number of a layer, or a range of them, between the dots of a path.
_NUMBERS = re.compile(r"(?<![^.])\d+(?:-\d+)?(?![^.@/])")


def describe_whole(prediction: Prediction) -> Portion:
    """The model itself as one portion."""
    root = prediction.tree.root
    return make_portion(prediction, root.type, root.kind, [0])


def nodes_at_depth(prediction: Prediction, depth: int, *, unfold: bool = False) -> tuple[Portion, ...]:
    """The calls at a depth of the tree (0: the root), and leaves that end above it, most energy first.

    Equal parts of one list's layers are one portion, neighbours or not, unless `unfold`.
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
        shapes = number_shapes(prediction.flat)
        rows: dict[tuple[int, str], tuple[list[str], str, list[int]]] = {}
        for label, row in _ends(fold(prediction.flat, depth), ""):
            key = (shapes[row.indices[0]], _NUMBERS.sub("#", label, count=1))
            labels, _, indices = rows.setdefault(key, ([], row.kind, []))
            labels.append(label)
            indices.extend(row.indices)
        portions = [
            make_portion(prediction, _join_labels(labels), kind, sorted(indices))
            for labels, kind, indices in rows.values()
        ]
    return tuple(sorted(portions, key=lambda portion: -portion.energy_j))


def layers_of(prediction: Prediction, *, unfold: bool = False) -> tuple[Portion, ...]:
    """The segments of a model in the order of their first call: layers, and what stands around them.

    Equal layers of one list are one portion, also where others stand between them, unless `unfold`.
    """
    flat = prediction.flat
    shapes = number_shapes(flat)
    groups: dict[object, list[Segment]] = {}
    for number, segment in enumerate(cut_into_segments(flat)):
        key = (segment.stack, shapes[segment.indices[0]]) if segment.stack and not unfold else number
        groups.setdefault(key, []).append(segment)
    portions = []
    for group in groups.values():
        indices = [index for segment in group for index in segment.indices]
        portions.append(
            make_portion(prediction, _join_labels([s.label for s in group]), group[0].role, indices, len(group))
        )
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
    values, at, ranks = prediction.summed, list(indices), prediction.ranks
    spec = load_device(prediction.device)
    energy_j, duration_s = float(values.energy_j[at].sum()), float(values.duration_s[at].sum())
    breakdown_j = {part: float(getattr(values, f"{part}_j")[at].sum()) for part in parts_of(ranks)}
    flop, traffic_bytes = float(values.flop[at].sum()), float(values.traffic_bytes[at].sum())
    count = len(at) if calls is None else calls
    by_provenance = joules_by_provenance([values.provenance[index] for index in at], values.energy_j[at])
    # What limits it is asked of one rank: caps and clocks are those of a board.
    each = {part: breakdown_j.get(part, 0.0) / ranks for part in PARTS}
    joules = {part: np.array([value]) for part, value in each.items()}
    bound = name_bounds(spec, np.array([energy_j / ranks]), np.array([duration_s]), joules)[0]
    power_w = mean_power_w(prediction.device, energy_j / ranks, duration_s)
    return Portion(
        label=label,
        kind=kind,
        calls=count,
        energy_j=energy_j,
        each_j=energy_j / count,
        share=energy_j / prediction.energy_j if prediction.energy_j > 0 else 0.0,
        duration_s=duration_s,
        power_w=None if power_w is None else ranks * power_w,
        breakdown_j=breakdown_j,
        flop=flop,
        traffic_bytes=traffic_bytes,
        flop_per_byte=flop / traffic_bytes if traffic_bytes > 0 else None,
        bound=bound,
        why=_say_why(bound, energy_j / ranks, duration_s, each, spec)
        + ("" if bound == "host_bound" else _say_unfused(prediction, at, energy_j / ranks)),
        provenance=name_provenance(by_provenance.sum(axis=0, keepdims=True))[0],
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
        power_w, cap_w = min(energy_j / duration_s, spec.power_cap_w), spec.power_cap_w
        return f"at the power cap, {power_w:.0f} of {cap_w:.0f} W: clocks go down"
    side = bound.removesuffix("_bound")
    dynamic_j = breakdown_j["compute"] + breakdown_j["memory"] + breakdown_j["communication"]
    what = {"compute": "arithmetic", "memory": "memory traffic"}.get(side, side)
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


def _join_labels(labels: Sequence[str]) -> str:
    """One label of parts that differ in the number of their layer.

    >>> _join_labels(["layers.0.mlp", "layers.1-2.mlp", "layers.4.mlp"]), _join_labels(["layer.0@0", "layer.0@1"])
    ('layers.0-2,4.mlp', 'layer.0@0-1')
    """
    found = [match for match in map(_NUMBERS.search, labels) if match]
    if len(found) < len(labels) or len({match[0] for match in found}) == 1:
        first, last = labels[0], labels[-1]  # one part, or several calls of one: 'layer.0@0' to 'layer.0@11'
        return first if first == last else f"{first}-{last[len(last.rstrip('0123456789')) :]}"
    numbers: list[int] = []
    for match in found:
        low, _, high = match[0].partition("-")
        numbers += range(int(low), int(high or low) + 1)
    return _NUMBERS.sub(_write_ranges(sorted(numbers)), labels[0], count=1)


def _write_ranges(numbers: Sequence[int]) -> str:
    """'0-2,4'; of many ranges the first and the last ones."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number <= ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    texts = [f"{low}" if low == high else f"{low}-{high}" for low, high in ranges]
    return ",".join(texts if len(texts) <= _MOST_RANGES else [*texts[:2], "...", texts[-1]])


def _say_unfused(prediction: Prediction, indices: Sequence[int], energy_j: float) -> str:
    """Names elementwise work and copies as the cause, where they take much of what has other work in it too."""
    flat, joules = prediction.flat, prediction.values.energy_j
    kinds: dict[str, float] = {}
    for index in indices:
        for leaf in range(index, int(flat.subtree_end[index])):
            call = flat.nodes[leaf].call
            if call is not None:
                kind = kind_of(call)
                kinds[kind] = kinds.get(kind, 0.0) + float(joules[leaf])
    unfused_j = sum(kinds.get(kind, 0.0) for kind in UNFUSED)
    if set(kinds) <= UNFUSED or not energy_j > 0 or unfused_j < _MUCH * energy_j:
        return ""
    return f"; {unfused_j / energy_j:.0%} is elementwise work and copies that no kernel fuses"
