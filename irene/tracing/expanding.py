"""A recording in which layers that repeat were not run -> the recording as if every layer had been.

What a skipped layer calls is what its twin calls, with weights of its own. What it would have kept in memory (its part
of a cache) is what its twin kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from irene.model_tree.tree import Node
from irene.tracing.encoding import storage_key
from irene.tracing.recording import Recording
from irene.tracing.repeats import Repeats, Twins

_Place = tuple[str, int]


def expand(found: Recording, repeats: Repeats) -> Recording | None:
    """The whole recording; None where layers that were run did not do the same, or what they keep is not known.

    `repeats` has watched over a recording in which three layers of each kind were run, and the last one.
    """
    if not repeats.of and not repeats.alike:
        return found
    expander = _Expander(found, repeats)
    if not all(expander.are_alike(*pair) for pair in repeats.alike):
        return None
    try:
        root = expander.expand(found.root)
    except LookupError:
        return None
    return found._replace(root=root, alive_bytes=tuple(expander.alive_bytes))


@dataclass(slots=True)
class _Ran:
    """A module call that was run: its node, and which leaves are its own, by number."""

    node: Node
    start: int
    end: int
    grown_bytes: int | None = None  # alive at the first leaf after it, over that at its own first; None where unknown


@dataclass(slots=True)
class _Expander:
    found: Recording
    repeats: Repeats
    alive_bytes: list[int] = field(default_factory=list)
    _ran: dict[_Place, _Ran] = field(default_factory=dict)
    _kept_bytes: int = 0  # by the layers that were skipped so far
    _leaf: int = 0
    _weights: dict[tuple[str, str], dict[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._read(self.found.root, 0)

    def _read(self, node: Node, start: int) -> int:
        """Where each module call has its leaves; the number of the leaf after the last."""
        if node.call is not None:
            return start + 1
        end, before = start, None
        for child in node.children:
            own = end
            end = self._read(child, own)
            if before is not None:
                self._note_growth(before, child, own)
            before = (child.path, child.call_index) if child.call is None and end > own else None
        self._ran[node.path, node.call_index] = _Ran(node, start, end)
        return end

    def _note_growth(self, before: _Place, after: Node, leaf: int) -> None:
        """What a call kept, if the one that follows in the same list of layers begins with a leaf that was recorded."""
        ran, alive = self._ran[before], self.found.alive_bytes
        if after.call is None and (after.path, after.call_index) not in self.repeats.of and leaf < len(alive):
            ran.grown_bytes = alive[leaf] - alive[ran.start]

    def are_alike(self, one: _Place, other: _Place) -> bool:
        """Whether two calls that ran made the same calls, each with its own weights."""
        a, b = self._ran.get(one), self._ran.get(other)
        if a is None or b is None:
            return False
        weights = self._weights_between(other[0], one[0])
        return _is_like(b.node, a.node, other[0], one[0], weights)

    def expand(self, node: Node) -> Node:
        """The node with all that its skipped parts would call; leaves add what is then alive."""
        if node.call is not None:
            self.alive_bytes.append(self.found.alive_bytes[self._leaf] + self._kept_bytes)
            self._leaf += 1
            return node
        place = (node.path, node.call_index)
        like = self.repeats.of.get(place)
        if like is not None:
            return self._copy(node, like)
        children = tuple([self.expand(child) for child in node.children])
        return Node(node.kind, node.path, node.type, children, None, node.call_index, node.parameters)

    def _copy(self, node: Node, like: _Place) -> Node:
        ran = self._ran[like]
        grown_bytes = self._ran[self.repeats.ran[like][1]].grown_bytes  # between two layers that ran
        if grown_bytes is None:
            raise LookupError
        # Its leaves find in memory what those of its twin found, and what has been kept since.
        alive = self.found.alive_bytes
        now = alive[self._leaf - 1] if self._leaf else 0
        then = alive[ran.start - 1] if ran.start else 0
        more = now + self._kept_bytes - then
        self.alive_bytes.extend([alive[leaf] + more for leaf in range(ran.start, ran.end)])
        self._kept_bytes += grown_bytes
        weights = self._weights_between(like[0], node.path)
        children = tuple([_moved(child, like[0], node.path, weights) for child in ran.node.children])
        return Node(node.kind, node.path, node.type, children, None, node.call_index, node.parameters)

    def _weights_between(self, one: str, other: str) -> dict[int, int]:
        """Numbers of the weights of one layer -> those of another, by their names inside."""
        found = self._weights.get((one, other))
        if found is None:
            found = self._weights[one, other] = _pair_weights(self.repeats.twins, one, other)
        return found


def _pair_weights(twins: Twins, one: str, other: str) -> dict[int, int]:
    by_name = {twins.index.names[id(layer)]: layer for layer in twins.layers}
    pairs: dict[int, int] = {}
    numbers = twins.index.weights
    for mine, its in zip(_tensors(by_name[one]), _tensors(by_name[other]), strict=True):
        pairs[numbers[storage_key(mine)]] = numbers[storage_key(its)]
    return pairs


def _tensors(layer: torch.nn.Module) -> list[torch.Tensor]:
    return [*layer.parameters(), *layer.buffers()]


def _moved(node: Node, path: str, to: str, weights: dict[int, int]) -> Node:
    moved = to + node.path[len(path) :]
    if node.call is not None:
        own = tuple([weights.get(number, number) for number in node.weight_ids])
        return Node("primitive", moved, node.type, (), node.call, node.call_index, 0, own)
    children = tuple([_moved(child, path, to, weights) for child in node.children])
    return Node(node.kind, moved, node.type, children, None, node.call_index, node.parameters)


def _is_like(node: Node, other: Node, path: str, to: str, weights: dict[int, int]) -> bool:
    """Whether two subtrees make equal calls, but for what is each one's own."""
    if node.call is not None or other.call is not None:
        moved = tuple([weights.get(number, number) for number in node.weight_ids])
        return (node.call, moved) == (other.call, other.weight_ids)
    own = (to + node.path[len(path) :], node.type, len(node.children))
    if own != (other.path, other.type, len(other.children)):
        return False
    pairs = zip(node.children, other.children, strict=True)
    return all(_is_like(a, b, path, to, weights) for a, b in pairs)
