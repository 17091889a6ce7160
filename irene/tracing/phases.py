"""A recorded `generate`, cut into its phases where it asks whether to go on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from irene.errors import Untraceable
from irene.model_tree.tree import Node
from irene.primitives.call import Call
from irene.tracing.data_dependent import READS_VALUE
from irene.tracing.storages import most_alive_bytes


@dataclass(frozen=True, slots=True)
class TracedPhase:
    """One phase of a recorded `generate`: 'encode', 'prefill' or 'decode', its calls below one node.

    `before_bytes` is alive when it begins (cache and whatever is held), `peak_bytes` the most at any time in it: of
    what calls made, neither weights nor inputs.
    """

    name: str
    root: Node
    before_bytes: int
    peak_bytes: int


def cut_at_stops(
    root: Node, alive: Sequence[int], tokens: int, primes: bool, is_last_alone: bool = False
) -> Iterator[TracedPhase]:
    """The phases: what comes before the first pass goes with it, but for an encoder, which is a phase of its own.

    With `primes`, the first pass of all only fills the cache. Only the last phase `is_last_alone`.
    """
    children = root.children
    passes = [at for at, child in enumerate(children) if child.call is None and child.path == "model"]
    start = leaves = 0
    if primes and passes:
        start = passes.pop(0) + 1
        leaves = sum(1 for child in children[:start] for _ in child.leaves)
    if len(passes) != tokens:
        raise Untraceable(f"generate made {len(passes)} passes for {tokens} tokens.")
    encoders = [at for at in range(start, passes[0]) if children[at].call is None]
    ends = [encoders[-1] + 1] if encoders else []
    ends += [_end_of_step(children, start, end) for start, end in pairwise([*passes, len(children)])]
    if len(passes) > 1:  # what follows the last step is no part of it; it does what the one before does
        ends[-1] = min(ends[-1], passes[-1] + ends[-2] - passes[-2])
    names = [*(["encode"] if encoders else []), "prefill", *(["decode"] * (tokens - 1))]
    for number, (name, end) in enumerate(zip(names, ends, strict=True)):
        calls = [leaf.call for child in children[start:end] for leaf in child.leaves if leaf.call is not None]
        before = alive[leaves - 1] if leaves else 0
        if not is_last_alone or number == len(ends) - 1:
            phase = place_under(name, children[start:end])
            most = most_alive_bytes(calls, alive[leaves : leaves + len(calls)])
            yield TracedPhase(name, phase, before, max(before, most))
        start, leaves = end, leaves + len(calls)


def list_calls(phases: Iterable[TracedPhase]) -> list[tuple[Call, ...]]:
    """The calls of each phase, in order."""
    return [tuple([leaf.call for leaf in phase.root.leaves if leaf.call is not None]) for phase in phases]


def _end_of_step(children: Sequence[Node], start: int, end: int) -> int:
    """Behind the last value that is read back between a pass and the next; where none is, right before the next."""
    reads = [at for at in range(start, end) if (call := children[at].call) is not None and call.op in READS_VALUE]
    return reads[-1] + 1 if reads else end


def place_under(name: str, children: Sequence[Node]) -> Node:
    """Calls of one phase below a node of its name: paths begin with it, and calls are counted from 0."""
    moved = rename(children, lambda path: f"{name}.{path}" if path else name)
    parameters = {node.path: node.parameters for node in moved if node.call is None}
    return Node("module", name, name, moved, None, 0, sum(parameters.values()))


def rename(nodes: Sequence[Node], rename_path: Callable[[str], str]) -> tuple[Node, ...]:
    """Calls with other paths, the calls of each path counted from 0."""
    seen: Counter[str] = Counter()
    paths: dict[str, str] = {}

    def move(node: Node, ops: Counter[str]) -> Node:
        path = paths.get(node.path)
        if path is None:
            path = paths[node.path] = rename_path(node.path)
        if node.call is not None:
            number = ops[node.call.name]
            ops[node.call.name] += 1
            return Node("primitive", path, node.type, (), node.call, number, 0, node.weight_ids)
        number = seen[path]
        seen[path] += 1
        below: Counter[str] = Counter()
        children = tuple([move(child, below) for child in node.children])
        return Node("module", path, node.type, children, None, number, node.parameters)

    own: Counter[str] = Counter()
    return tuple([move(node, own) for node in nodes])
