"""A model as a row of layers: the flat cut through its tree that a bar chart shows, each joule in exactly one bar."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from irene.model_tree.addresses import address_nodes
from irene.model_tree.graph import FlatTree


@dataclass(frozen=True, slots=True)
class Layer:
    """One bar: the node or nodes that it sums (disjoint subtrees)."""

    label: str
    indices: tuple[int, ...]


def cut_into_layers(flat: FlatTree) -> list[Layer]:
    """The outermost repeated modules, and what stands beside them, in call order.

    A repeated module is an entry of a numbered list ('encoder.layer.3') or one that is called several times (ALBERT's
    one layer). Modules around such lists are opened; other modules are one bar; the primitives that an opened module
    calls itself are one bar together. A model without repeated modules has its own children.
    """
    children: list[list[int]] = [[] for _ in flat.nodes]
    for index in range(1, len(flat)):
        children[flat.parent[index]].append(index)
    calls = Counter(node.path for node in flat.nodes if node.kind != "primitive")
    repeats = [
        node.kind == "module" and (node.path.rpartition(".")[2].isdigit() or calls[node.path] > 1)
        for node in flat.nodes
    ]
    repeats_below = [False] * len(flat)
    for index in range(len(flat) - 1, 0, -1):
        if repeats[index] or repeats_below[index]:
            repeats_below[flat.parent[index]] = True
    addresses = address_nodes(flat)

    def open_node(index: int) -> list[Layer]:
        found: list[Layer] = []
        own = tuple(child for child in children[index] if flat.nodes[child].kind == "primitive")
        for child in children[index]:
            if flat.nodes[child].kind == "primitive":
                continue
            if repeats_below[child] and not repeats[child]:
                found += open_node(child)
            else:
                found.append(Layer(addresses[child], (child,)))
        if own:
            found.append(Layer(f"{addresses[index] or flat.nodes[index].type} itself", own))
        return found

    return open_node(0) or [Layer(flat.nodes[0].type, (0,))]
