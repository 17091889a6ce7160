"""What makes a line of such a file a tree: every complaint names the file, the line and the node."""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import Any, TypeGuard

from irene.errors import BadDataset
from irene.quoting import quote

MEASURED_FEATURES = ("cpu", "mem", "gpu", "gpu_mem", "gpu_clk", "gpu_mem_clk", "times_mean", "gpu_energy_mean")
"""What a run on the machine tells about a node."""
COUNTED_FEATURES = ("num_parameters", "flops", "mem_bytes")
"""What the model alone tells about a node."""
NODE_FEATURES = (*COUNTED_FEATURES, *MEASURED_FEATURES)
KINDS = {"ml": "ml", "ml-np": "ml", "module": "module", "model": "model"}
"""A node's `type` and the level it is judged at; `ml-np` are operations without parameters (softmax, matmul)."""
_MOST_DEPTH = 200
_TEXTS = ("id", "scope", "instance_type", "type")


def check_tree(record: Any, source: str, features: Collection[str], measured: bool) -> None:
    """Raise `BadDataset` unless `record` is a tree whose nodes have `features`, and energies where `measured`.

    `source` names file and line. A measured energy must be positive wherever it stands; a predicted one may be any
    finite number, since linear regressors may well predict less than nothing.
    """
    if not isinstance(record, dict):
        raise BadDataset(f"{source}: expected an object, got {quote(record)}.")
    if not isinstance(record.get("model_name"), str):
        raise BadDataset(f"{source}: 'model_name' must be a text, got {quote(record.get('model_name'))}.")
    for key in ("batch_size", "seq_len"):
        if not _is_number(record.get(key)) or record[key] < 1:
            raise BadDataset(f"{source}: {key!r} must be a number of at least 1, got {quote(record.get(key))}.")
    root = record.get("frontend_tree")
    waiting = [(root, f"{source}, the root", _MOST_DEPTH)]
    while waiting:
        node, where, depth = waiting.pop()
        if depth < 0:
            raise BadDataset(f"{where}: expected nodes at most {_MOST_DEPTH} deep.")
        children = _check_node(node, where, features, measured)
        waiting += [(child, _place(child, i, source, where), depth - 1) for i, child in enumerate(children)]
    assert isinstance(root, dict)
    if root["type"] != "model":
        raise BadDataset(f"{source}, node {root['scope']!r}: the root's type must be 'model', got {root['type']!r}.")


def _place(node: Any, index: int, source: str, parent: str) -> str:
    scope = node.get("scope") if isinstance(node, dict) else None
    return f"{source}, node {quote(scope)}" if isinstance(scope, str) else f"child {index} of {parent}"


def _check_node(node: Any, where: str, features: Collection[str], measured: bool) -> list[Any]:
    if not isinstance(node, dict):
        raise BadDataset(f"{where}: a node must be an object, got {quote(node)}.")
    for key in _TEXTS:
        if not isinstance(node.get(key), str):
            raise BadDataset(f"{where}: {key!r} must be a text, got {quote(node.get(key))}.")
    if node["type"] not in KINDS:
        raise BadDataset(f"{where}: unknown type {quote(node['type'])}; expected one of {', '.join(KINDS)}.")
    children = node.get("child_nodes_obj")
    if not isinstance(children, list):
        raise BadDataset(f"{where}: 'child_nodes_obj' must be a list, empty for a leaf, got {quote(children)}.")
    if children and KINDS[node["type"]] == "ml":
        raise BadDataset(f"{where}: a node of type {node['type']!r} is a leaf, but this one has children.")
    if not children and node["type"] == "model":
        raise BadDataset(f"{where}: a model must have children; only its parts say where the energy goes.")
    for key in features:
        if not _is_number(node.get(key)):
            what = f"is {quote(node[key])}" if key in node else "is missing"
            raise BadDataset(f"{where}: feature {key!r} {what}; expected a finite number.")
    energy = node.get("ground_truth_energy")
    if (measured or energy is not None) and not (_is_number(energy) and energy > 0):
        what = "is missing" if energy is None else f"is {quote(energy)}"
        raise BadDataset(f"{where}: 'ground_truth_energy' {what}; expected a positive number of joules.")
    predicted = node.get("predicted_energy")
    if predicted is not None and not _is_number(predicted):
        raise BadDataset(f"{where}: 'predicted_energy' is {quote(predicted)}; expected a finite number of joules.")
    return children


def _is_number(value: Any) -> TypeGuard[int | float]:
    # Not math.isfinite: it fails on whole numbers that no float can hold.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
