"""Addresses of calls: the text that names one node of a tree, or all calls of one module.

encoder.layer.0             every call of that module (the path is the one of `named_modules()`; '' is the root)
encoder.layer.0@3           its fourth call
encoder.layer.0/linear#1    the second `linear` that it calls itself, in every call of it
encoder.layer.0@3/linear#1  the same, in its fourth call
"""

from __future__ import annotations

from collections import Counter

from irene.errors import UnknownName
from irene.model_tree.graph import FlatTree


def address_nodes(flat: FlatTree) -> list[str]:
    """The address of each node, distinct in a tree; a module called once keeps its plain path.

    A leaf's address starts with the address of the call that made it.
    """
    calls = Counter(node.path for node in flat.nodes if node.kind != "primitive")
    addresses: list[str] = []
    for index, node in enumerate(flat.nodes):
        if node.kind == "primitive":
            above = addresses[flat.parent[index]] if index else node.path
            addresses.append(f"{above}/{node.name}")
        elif calls[node.path] > 1:
            addresses.append(f"{node.path}@{node.call_index}")
        else:
            addresses.append(node.path)
    return addresses


def find_nodes(flat: FlatTree, address: str) -> list[int]:
    """Indices of the calls that an address means, in call order; raises `UnknownName` with the nearest address."""
    addresses = address_nodes(flat)
    module, _, leaf = address.partition("/")
    path, _, call_index = module.partition("@")
    found = []
    for index, node in enumerate(flat.nodes):
        is_primitive = node.kind == "primitive"
        if addresses[index] == address:
            return [index]
        if is_primitive != bool(leaf) or node.path != path or (is_primitive and node.name != leaf):
            continue
        call = flat.nodes[flat.parent[index]] if is_primitive and index else node
        if not call_index or str(call.call_index) == call_index:
            found.append(index)
    if not found:
        known = dict.fromkeys([*(node.path for node in flat.nodes if node.path), *addresses])
        raise UnknownName("node", address, known, hint="'irene tree' prints the nodes of a model.")
    return found
