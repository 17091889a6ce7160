"""A tree cut into segments that people name: layers of its stacks, and what stands before, between and after them.

The segments are disjoint and cover every leaf, so any sum over them is the whole. A layer is a call of an item of the
outermost numbered list ('encoder.layer.3'); ALBERT's one layer called twelve times is twelve layers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from irene.explanation.roles import roles_of_nodes
from irene.model_tree.addresses import address_nodes
from irene.model_tree.graph import FlatTree


@dataclass(frozen=True, slots=True)
class Segment:
    """Nodes of a tree under one name.

    `label` is the address of a module call, or '(BertModel itself)' for the primitives that a module above the layers
    calls. `stack` names the list that a layer stands in ('layer', 'encoder layer', ...) and `position` its place there;
    both are empty for other segments. `role` is that of its nodes.
    """

    label: str
    role: str
    indices: tuple[int, ...]
    stack: str = ""
    position: int | None = None


def cut_into_segments(flat: FlatTree) -> tuple[Segment, ...]:
    """The segments of a tree in call order."""
    addresses, roles = address_nodes(flat), roles_of_nodes(flat)
    is_item = [node.kind == "module" and node.path.rpartition(".")[2].isdigit() for node in flat.nodes]
    items_before = [0]
    for flag in is_item:
        items_before.append(items_before[-1] + flag)
    own: dict[int, list[int]] = {}  # primitives of the modules above the layers, by module
    found: list[tuple[int, list[int]]] = []
    index = 0
    while index < len(flat):
        end = int(flat.subtree_end[index])
        node = flat.nodes[index]
        if node.kind == "primitive":
            above = int(flat.parent[index])
            if above not in own:
                own[above] = []
                found.append((above, own[above]))
            own[above].append(index)
        elif is_item[index] or (index and items_before[end] == items_before[index]):
            found.append((index, [index]))
        else:
            end = index + 1  # layers below: go down
        index = end
    lists = [_list_path(flat.nodes[at].path) if is_item[at] else "" for at, _ in found]
    names = _name_stacks(lists)
    counts: Counter[str] = Counter()
    segments = []
    for (at, indices), path in zip(found, lists, strict=True):
        if path:
            segments.append(Segment(addresses[at], "layer", tuple(indices), names[path], counts[path]))
            counts[path] += 1
        elif indices == [at]:
            segments.append(Segment(addresses[at], roles[at], (at,)))
        else:
            segments.append(Segment(f"({addresses[at] or flat.nodes[at].type} itself)", "other", tuple(indices)))
    return tuple(segments)


def _list_path(path: str) -> str:
    return path.rpartition(".")[0] or path


def _name_stacks(lists: list[str]) -> dict[str, str]:
    """A name for each list of layers that other architectures have too: 'layer', of two lists 'decoder layer'."""
    distinct = list(dict.fromkeys(path for path in lists if path))
    names = {}
    for path in distinct:
        sides = [word for word in path.split(".") if word in ("encoder", "decoder")]
        names[path] = f"{sides[0]} layer" if sides and len(distinct) > 1 else "layer" if len(distinct) == 1 else path
    return names
