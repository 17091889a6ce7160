"""A recording in which layers that repeat were not run -> the recording as if every layer had been.

What a skipped layer calls is what its twin calls, with weights of its own. What it would have kept in memory (its part
of a cache) is what its twin kept. Three layers of each kind are run, and the last: a layer between them that does
something else, by nothing but its number, would go unseen; layers that are seen to differ have all of them run.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import torch

from irene.errors import IreneError
from irene.model_tree.tree import Node
from irene.tracing.encoding import storage_key
from irene.tracing.module_index import list_modules, list_tensors
from irene.tracing.recording import Prepared, Recording, record_with_notes
from irene.tracing.repeats import Repeats
from irene.tracing.twins import find_twins

_Place = tuple[str, int]


def record_few_layers(prepare: Callable[[], Prepared]) -> Recording | None:
    """As `record_afresh`, but of equal layers three and the last are run; None where that cannot stand for all."""
    for constants in (False, True):
        prepared = prepare()
        repeats = Repeats(find_twins(prepared.module), run_first=3)
        with suppress(IreneError):
            return expand(
                record_with_notes(prepared.module, prepared.args, prepared.kwargs, repeats, constants), repeats
            )
    return None


def expand(found: Recording, repeats: Repeats) -> Recording | None:
    """The whole recording; None where layers that were run did not do the same, or have other weights than before.

    `repeats` has watched over a recording in which three layers of each kind were run, and the last one.
    """
    if not repeats.of:
        return found
    expander = _Expander(found, repeats)
    try:
        if not all(expander.are_alike(*pair) for pair in repeats.alike):
            return None
        root = expander.expand(found.root)
    except LookupError:  # a weight that the model made anew as it ran
        return None
    cache_bytes = found.cache_bytes
    if cache_bytes:  # a generation returns none
        cache_bytes += sum(repeats.cached_bytes[source] for source in repeats.of.values())
    return found._replace(root=root, alive_bytes=tuple(expander.alive_bytes), cache_bytes=cache_bytes)


@dataclass(slots=True)
class _Ran:
    """A module call that was run: its node, and which leaves are its own, by number."""

    node: Node
    start: int
    end: int


@dataclass(slots=True)
class _Expander:
    found: Recording
    repeats: Repeats
    alive_bytes: list[int] = field(default_factory=list)
    _ran: dict[_Place, _Ran] = field(default_factory=dict)
    _kept_bytes: int = 0  # by the layers that were skipped so far, had they been run
    _leaf: int = 0
    _layers: dict[str, torch.nn.Module] = field(default_factory=dict)
    _numbers: dict[str, list[int]] = field(default_factory=dict)
    _weights: dict[tuple[str, str], dict[int, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._read(self.found.root, 0)
        twins = self.repeats.twins
        self._layers.update((twins.index.names[id(layer)], layer) for layer in twins.layers)

    def _read(self, node: Node, start: int) -> int:
        """Where each module call has its leaves; the number of the leaf after the last."""
        if node.call is not None:
            return start + 1
        end = start
        for child in node.children:
            end = self._read(child, end)
        self._ran[node.path, node.call_index] = _Ran(node, start, end)
        return end

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
        ran, place, alive = self._ran[like], (node.path, node.call_index), self.found.alive_bytes
        # Its leaves find in memory what those of its twin found, and what has been kept since.
        more = self.repeats.found_bytes[place] + self._kept_bytes - self.repeats.found_bytes[like]
        self.alive_bytes.extend([alive[leaf] + more for leaf in range(ran.start, ran.end)])
        # What it returned was made without running it, too; what it would have kept besides (its part of a cache) not.
        self._kept_bytes += self.repeats.grown_bytes[like] - self.repeats.grown_bytes[place]
        weights = self._weights_between(like[0], node.path)
        children = tuple([_moved(child, like[0], node.path, weights) for child in ran.node.children])
        return Node(node.kind, node.path, node.type, children, None, node.call_index, node.parameters)

    def _weights_between(self, one: str, other: str) -> dict[int, int]:
        """Numbers of the weights of one layer -> those of another, by their names inside."""
        found = self._weights.get((one, other))
        if found is None:
            pairs = zip(self._numbers_of(one), self._numbers_of(other), strict=True)
            found = self._weights[one, other] = dict(pairs)
        return found

    def _numbers_of(self, layer: str) -> list[int]:
        """The numbers of the weights of a layer, in the order of their names inside."""
        found = self._numbers.get(layer)
        if found is None:
            numbers = self.repeats.twins.index.weights
            tensors = list_tensors(part for _, part in list_modules(self._layers[layer]))
            found = self._numbers[layer] = [numbers[storage_key(tensor)] for tensor in tensors]
        return found


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
