"""Which segment of one model stands against which of another, and what each has in the difference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from irene.explanation.comparison import Contribution
from irene.explanation.roles import ROLES, roles_of_nodes
from irene.explanation.segments import Segment, cut_into_segments
from irene.predictor.prediction import Prediction


def compare_layers(base: Prediction, other: Prediction) -> tuple[Contribution, ...]:
    """What each segment has in the difference, in call order of the base; sums to other - base.

    Parts of the same path stand against each other; then layers of the same place in stacks of the same name; then what
    has the same role, summed. The rest is alone on its side.
    """
    left, right = list(cut_into_segments(base.flat)), list(cut_into_segments(other.flat))
    pairs: list[tuple[str, str, list[Segment], list[Segment]]] = []
    by_label = {segment.label: segment for segment in right}
    for segment in left:
        match = by_label.get(segment.label)
        if match is not None:
            pairs.append((segment.label, "path", [segment], [match]))
    matched = {label for label, *_ in pairs}
    left = [segment for segment in left if segment.label not in matched]
    right = [segment for segment in right if segment.label not in matched]

    places = {(segment.stack, segment.position): segment for segment in right if segment.stack}
    for segment in [segment for segment in left if segment.stack]:
        match = places.get((segment.stack, segment.position))
        if match is not None:
            pairs.append((f"{segment.stack} {segment.position}", "position", [segment], [match]))
            left.remove(segment)
            right.remove(match)

    for role in ROLES:
        ours, theirs = ([p for p in segments if p.role == role and not p.stack] for segments in (left, right))
        if ours and theirs:
            pairs.append((role, "role", ours, theirs))
            left, right = [p for p in left if p not in ours], [p for p in right if p not in theirs]
    pairs += [(segment.label, "alone", [segment], []) for segment in left]
    pairs += [(segment.label, "alone", [], [segment]) for segment in right]

    order = {segment.label: place for place, segment in enumerate(cut_into_segments(base.flat))}
    pairs.sort(key=lambda pair: order[pair[2][0].label] if pair[2] else len(order))  # stable: the other's own go last
    return tuple(_contribute(label, how, base, ours, other, theirs) for label, how, ours, theirs in pairs)


def compare_roles(base: Prediction, other: Prediction) -> tuple[Contribution, ...]:
    """What each role has in the difference, in the order of `ROLES`; sums to other - base."""
    left, right = sum_roles(base), sum_roles(other)
    return tuple(
        Contribution(role, "role", left.get(role), right.get(role), right.get(role, 0.0) - left.get(role, 0.0))
        for role in ROLES
        if role in left or role in right
    )


def sum_roles(prediction: Prediction) -> dict[str, float]:
    """Joules of each role that occurs."""
    flat, roles = prediction.flat, roles_of_nodes(prediction.flat)
    joules: dict[str, float] = {}
    for index in flat.leaf_index:
        joules[roles[index]] = joules.get(roles[index], 0.0) + float(prediction.summed.energy_j[index])
    return joules


def _contribute(
    label: str, how: str, base: Prediction, ours: Sequence[Segment], other: Prediction, theirs: Sequence[Segment]
) -> Contribution:
    base_j, other_j = _sum(base, ours), _sum(other, theirs)
    return Contribution(label, how, base_j, other_j, (other_j or 0.0) - (base_j or 0.0))


def _sum(prediction: Prediction, segments: Iterable[Segment]) -> float | None:
    indices = [index for segment in segments for index in segment.indices]
    return float(np.sum(prediction.summed.energy_j[indices])) if indices else None
