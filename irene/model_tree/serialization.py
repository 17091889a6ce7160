"""A tree as JSON and back: what `irene tree --format json` writes and every command reads again, without torch.

    {"schema_version": 1, "format": "irene.model_tree", "model": ..., "workload": {...}, "versions": {...},
     "notes": [...], "quantization": ..., "left_out": ..., "stored_as": ..., "calls": [CALL, ...], "root": NODE}
    NODE      {"kind", "path", "type", "call_index", "parameters", "children": [NODE or PRIMITIVE, ...]}
    PRIMITIVE {"call": index into calls, "call_index", "weights": [...], "type" and "path" where they are not the usual}

Distinct calls are stored once: a model of 126 equal layers then needs little more than its list of nodes. Keys with
their default value are left out; unknown keys are errors, so that no reader drops what a newer writer meant.
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

from irene.errors import BadInput
from irene.fields import MOST_WHOLE, Field
from irene.files import inflate, parse_json, read_json
from irene.model_tree.checks import MOST_DEPTH, read_call, read_memory, read_workload
from irene.model_tree.expert_routing import BALANCED
from irene.model_tree.tree import ModelTree, Node
from irene.primitives.call import Call
from irene.primitives.countable import require_countable
from irene.quoting import quote

SCHEMA_VERSION = 1
FORMAT = "irene.model_tree"
_LEFT_OUT = {("gpus", 1), ("expert_routing", BALANCED)}  # of a workload: as before there were such settings
_TOP_KEYS = ("schema_version", "format", "model", "workload", "versions", "notes", "calls", "root")
_LEAF_KEYS = {"call", "call_index", "weights", "parameters", "path", "type"}


def tree_to_json(tree: ModelTree) -> dict[str, Any]:
    """The tree as plain JSON values; `tree_from_json` gives an equal tree back."""
    table: dict[str, int] = {}
    calls: list[dict[str, Any]] = []
    by_identity: dict[int, int] = {}  # most equal calls are one object, and writing a signature is slow

    def index_of(call: Call) -> int:
        if id(call) not in by_identity:
            # Not a dict of calls: 1, 1.0 and True are equal in Python, and different calls to PyTorch.
            signature = json.dumps(call.to_json(), separators=(",", ":"))
            if signature not in table:
                table[signature] = len(calls)
                calls.append(call.to_json())
            by_identity[id(call)] = table[signature]
        return by_identity[id(call)]

    def encode(node: Node, above: str) -> dict[str, Any]:
        data: dict[str, Any] = {}
        if node.kind == "primitive":
            assert node.call is not None
            data = {"call": index_of(node.call), "call_index": node.call_index, "weights": list(node.weight_ids)}
            data |= {"parameters": node.parameters}
            data |= {"path": node.path} if node.path != above else {}
            data |= {"type": node.type} if node.type != node.call.op else {}
            return {key: value for key, value in data.items() if value or key in ("call", "path", "type")}
        data = {"kind": node.kind, "path": node.path, "type": node.type}
        data |= {"call_index": node.call_index} if node.call_index else {}
        data |= {"parameters": node.parameters} if node.parameters else {}
        data |= {"weights": list(node.weight_ids)} if node.weight_ids else {}
        return data | {"children": [encode(child, node.path) for child in node.children]}

    root = encode(tree.root, "")
    return {
        "schema_version": SCHEMA_VERSION,
        "format": FORMAT,
        "model": tree.model,
        "workload": {k: v for k, v in asdict(tree.workload).items() if (k, v) not in _LEFT_OUT},
        "versions": dict(tree.versions),
        "notes": list(tree.notes),
        **({"quantization": tree.quantization} if tree.quantization else {}),
        **({"left_out": tree.left_out} if tree.left_out else {}),
        **({"stored_as": tree.stored_as} if tree.stored_as else {}),
        **({"memory_bytes": tree.memory.to_json()} if tree.memory else {}),
        "calls": calls,
        "root": root,
    }


def tree_from_json(data: Any, where: str = "Saved tree") -> ModelTree:
    """The tree that `tree_to_json` wrote; `where` names it. Raises `BadInput` that says where and what is wrong."""
    top = Field(data, where)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        top.fail(f'an object with "format": "{FORMAT}"')
    version = data.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        advice = "Update irene to read it." if newer else "Write it again with 'irene tree --format json'."
        raise BadInput(f"{where}: schema_version is {quote(version)}, this irene reads {SCHEMA_VERSION}. {advice}")
    top.keys(_TOP_KEYS, ("quantization", "left_out", "stored_as", "memory_bytes"))
    calls = [read_call(item) for item in top["calls"].list()]
    versions = {name: text.text() for name, text in top["versions"].items().items()}
    notes = tuple(note.text() for note in top["notes"].list())
    root = _decode_node(top["root"], "", calls, MOST_DEPTH)
    quantization, left_out, stored_as = (
        top[key].text() if key in data else "" for key in ("quantization", "left_out", "stored_as")
    )
    workload, model = read_workload(top["workload"]), top["model"].text()
    memory = read_memory(top["memory_bytes"]) if "memory_bytes" in data else None
    return ModelTree(root, model, workload, tuple(versions.items()), notes, quantization, left_out, memory, stored_as)


def load_tree(path: str | Path) -> ModelTree:
    """Read a tree that `irene tree MODEL --format json --output FILE` saved."""
    return read_tree(read_json(path, "saved tree"), str(path))


def read_tree(data: Any, where: str) -> ModelTree:
    """As `tree_from_json`, and every call can be counted; `where` names the file in errors."""
    tree = tree_from_json(data, where)
    if tree.root.kind == "primitive":
        raise BadInput(f"{where}: at root, expected a model or a module, got a primitive.")
    for number, call in enumerate(dict.fromkeys(leaf.call for leaf in tree.root.leaves if leaf.call is not None)):
        require_countable(call, f"{where}: distinct call {number}")
    return tree


def is_tree(data: Any) -> bool:
    """Whether JSON says that it is a saved tree (valid or not)."""
    return isinstance(data, dict) and data.get("format") == FORMAT


def compress_tree(tree: ModelTree) -> str:
    """The JSON of the tree as short ASCII text (zlib, base64), for a cell of a table."""
    text = json.dumps(tree_to_json(tree), separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode("ascii")


def decompress_tree(text: str) -> ModelTree:
    """The tree behind `compress_tree`'s text."""
    where = "Compressed tree"
    try:
        packed = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput(f"{where}: cannot be unpacked ({error}); expected text from compress_tree.") from None
    return tree_from_json(parse_json(inflate(packed, where), where), where)


def _decode_node(field: Field, above: str, calls: list[Call], depth: int) -> Node:
    if depth < 0:
        field.fail(f"modules at most {MOST_DEPTH} deep", "more")
    data = field.value
    if not isinstance(data, dict):
        field.fail("an object")
    listed = data.get("weights", [])
    if not (isinstance(listed, list) and all(type(number) is int and 0 <= number <= MOST_WHOLE for number in listed)):
        listed = [number.whole() for number in field["weights"].list()]
    weights, call_index, parameters = tuple(listed), _whole(field, "call_index"), _whole(field, "parameters")
    if "call" in data:
        if not data.keys() <= _LEAF_KEYS:
            field.keys(("call",), _LEAF_KEYS)
        index = _whole(field, "call")
        if index >= len(calls):
            field["call"].fail(f"an index below {len(calls)}")
        call = calls[index]
        path, type_name = _text(field, "path", above), _text(field, "type", call.op)
        return Node("primitive", path, type_name, (), call, call_index, parameters, weights)
    field.keys(("kind", "path", "type", "children"), ("call_index", "parameters", "weights"))
    kind: Any = field["kind"].text(among=("model", "module"))
    path = _text(field, "path")
    children = tuple(_decode_node(child, path, calls, depth - 1) for child in field["children"].list())
    return Node(kind, path, _text(field, "type"), children, None, call_index, parameters, weights)


# Trees have thousands of nodes: what is as it should be is taken as it is, and only what is not is asked of its field.
def _whole(field: Field, key: str) -> int:
    value = field.value.get(key, 0)
    return value if type(value) is int and 0 <= value <= MOST_WHOLE else field[key].whole()


def _text(field: Field, key: str, default: str = "") -> str:
    if key not in field.value:
        return default
    value = field.value[key]
    return value if type(value) is str and len(value) < 200 and value.isascii() else field[key].text()
