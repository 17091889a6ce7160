"""Which rows a folded tree has: equal neighbours of one numbered list, like a Transformer's layers, become one row.

So do several calls of one module and of one operator. Folding looks at structure alone (types and calls with their
shapes), never at predicted numbers, so that the rows of two predictions of one tree are the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from irene.model_tree.addresses import address_nodes
from irene.model_tree.graph import FlatTree
from irene.model_tree.tree import Node


@dataclass(frozen=True, slots=True)
class FoldedRow:
    """One printed row: its name, how far it is indented, the nodes that it sums, and the rows below it."""

    label: str
    kind: str
    depth: int
    indices: list[int]
    children: tuple[FoldedRow, ...]


def fold(flat: FlatTree, depth: int) -> FoldedRow:
    """The rows of a tree down to a depth (0 is the root alone).

    Of a folded row's children, too, each row sums the same child of all its nodes: the children of a row that has any
    are all the children of its nodes.
    """
    children = _list_children(flat)
    shapes = number_shapes(flat)
    merge_keys = [(shape, _list_of(node)) for shape, node in zip(shapes, flat.nodes, strict=True)]
    addresses = address_nodes(flat)

    def build(group: list[int], count: int, level: int) -> FoldedRow:
        below: tuple[FoldedRow, ...] = ()
        if level < depth:
            aligned = [list(same) for same in zip(*(children[index] for index in group), strict=True)]
            below = tuple(build(merged, times, level + 1) for merged, times in _merge_neighbours(aligned, merge_keys))
        label = _label(flat, addresses, group, count)
        return FoldedRow(label, flat.nodes[group[0]].kind, level, group, below)

    return build([0], 1, 0)


def _merge_neighbours(groups: list[list[int]], keys: list[tuple[int, str]]) -> Iterator[tuple[list[int], int]]:
    start = 0
    for end in range(1, len(groups) + 1):
        if end == len(groups) or keys[groups[end][0]] != keys[groups[start][0]]:
            yield sorted(index for group in groups[start:end] for index in group), end - start
            start = end


def _list_of(node: Node) -> str:
    """The numbered list that a module stands in ('layers.' for 'layers.0'), else its path; a primitive's operator."""
    if node.kind == "primitive":
        return node.type
    return node.path.rstrip("0123456789") if node.path.rpartition(".")[2].isdigit() else node.path


def number_shapes(flat: FlatTree) -> list[int]:
    """A number for each node, equal for subtrees of equal types and calls."""
    children = _list_children(flat)
    numbers: dict[object, int] = {}
    shapes = [0] * len(flat)
    for index in range(len(flat) - 1, -1, -1):
        node = flat.nodes[index]
        key = (node.type, node.call, tuple(shapes[child] for child in children[index]))
        shapes[index] = numbers.setdefault(key, len(numbers))
    return shapes


def _list_children(flat: FlatTree) -> list[list[int]]:
    children: list[list[int]] = [[] for _ in flat.nodes]
    for index in range(1, len(flat)):
        children[flat.parent[index]].append(index)
    return children


def _label(flat: FlatTree, addresses: list[str], group: list[int], count: int) -> str:
    node = flat.nodes[group[0]]
    if node.kind == "primitive":
        return node.name if count == 1 else f"{node.name} ... {flat.nodes[group[-1]].call_index} (x{count})"
    if group[0] == 0:
        return node.type
    above = flat.nodes[flat.parent[group[0]]].path
    names = [addresses[index].removeprefix(f"{above}.") for index in (group[0], group[-1])]
    if node.count > 1:
        return f"{names[0]} (x{node.count})"
    if len(group) > 1 and count == 1:
        return names[0].split("@")[0]  # one child of each of several folded parents
    return names[0] if count == 1 else f"{names[0]} ... {names[1].rpartition('.')[2]} (x{count})"
