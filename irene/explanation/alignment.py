"""Which part of one model stands against which of another, and what each has in the difference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from irene.explanation.comparison import Contribution
from irene.explanation.parts import Part, cut_into_parts
from irene.explanation.roles import ROLES, roles_of_nodes
from irene.predictor.prediction import Prediction


def compare_layers(base: Prediction, other: Prediction) -> tuple[Contribution, ...]:
    """What each part has in the difference, in call order of the base; sums to other - base.

    Parts of the same path stand against each other; then layers of the same place in stacks of the same name; then what
    has the same role, summed. The rest is alone on its side.
    """
    left, right = list(cut_into_parts(base.flat)), list(cut_into_parts(other.flat))
    pairs: list[tuple[str, str, list[Part], list[Part]]] = []
    by_label = {part.label: part for part in right}
    for part in left:
        match = by_label.get(part.label)
        if match is not None:
            pairs.append((part.label, "path", [part], [match]))
    matched = {label for label, *_ in pairs}
    left = [part for part in left if part.label not in matched]
    right = [part for part in right if part.label not in matched]

    places = {(part.stack, part.position): part for part in right if part.stack}
    for part in [part for part in left if part.stack]:
        match = places.get((part.stack, part.position))
        if match is not None:
            pairs.append((f"{part.stack} {part.position}", "position", [part], [match]))
            left.remove(part)
            right.remove(match)

    for role in ROLES:
        ours, theirs = ([p for p in parts if p.role == role and not p.stack] for parts in (left, right))
        if ours and theirs:
            pairs.append((role, "role", ours, theirs))
            left, right = [p for p in left if p not in ours], [p for p in right if p not in theirs]
    pairs += [(part.label, "alone", [part], []) for part in left]
    pairs += [(part.label, "alone", [], [part]) for part in right]

    order = {part.label: place for place, part in enumerate(cut_into_parts(base.flat))}
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
        joules[roles[index]] = joules.get(roles[index], 0.0) + float(prediction.values.energy_j[index])
    return joules


def _contribute(
    label: str, how: str, base: Prediction, ours: Sequence[Part], other: Prediction, theirs: Sequence[Part]
) -> Contribution:
    base_j, other_j = _sum(base, ours), _sum(other, theirs)
    return Contribution(label, how, base_j, other_j, (other_j or 0.0) - (base_j or 0.0))


def _sum(prediction: Prediction, parts: Iterable[Part]) -> float | None:
    indices = [index for part in parts for index in part.indices]
    return float(np.sum(prediction.values.energy_j[indices])) if indices else None
