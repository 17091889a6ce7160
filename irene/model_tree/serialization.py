"""A tree as JSON and back: what `irene tree --format json` writes and every command reads again, without torch.

    {"schema_version": 1, "format": "irene.model_tree", "model": ..., "workload": {...}, "versions": {...},
     "notes": [...], "calls": [CALL, ...], "root": NODE}
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
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from irene.errors import BadInput
from irene.model_tree.checks import fail, take, take_call, take_count
from irene.model_tree.tree import ModelTree, Node, Workload
from irene.primitives.call import Call

SCHEMA_VERSION = 1
FORMAT = "irene.model_tree"


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
        "workload": asdict(tree.workload),
        "versions": dict(tree.versions),
        "notes": list(tree.notes),
        "calls": calls,
        "root": root,
    }


def tree_from_json(data: Any) -> ModelTree:
    """The tree that `tree_to_json` wrote; raises `BadInput` that says where and what is wrong."""
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        fail("the top", f'an object with "format": "{FORMAT}"', data)
    version = data.get("schema_version")
    if version != SCHEMA_VERSION or isinstance(version, bool):
        newer = isinstance(version, int) and version > SCHEMA_VERSION
        advice = "Update irene to read it." if newer else "Write it again with 'irene tree --format json'."
        raise BadInput(f"Saved tree: schema_version is {version!r}, this irene reads {SCHEMA_VERSION}. {advice}")
    top = ("schema_version", "format", "model", "workload", "versions", "notes", "calls", "root")
    _reject_unknown(data, top, "the top")
    calls = [take_call(item, f"calls[{i}]") for i, item in enumerate(take(data, "calls", list, "the top"))]
    versions = take(data, "versions", dict, "the top")
    notes = take(data, "notes", list, "the top")
    if not all(isinstance(text, str) for text in (*versions.values(), *notes)):
        fail("versions and notes", "texts", [versions, notes])
    try:
        root = _decode_node(take(data, "root", dict, "the top"), "", calls, "root")
    except RecursionError:
        raise BadInput("Saved tree: its nodes are nested too deeply for a model.") from None
    workload = _decode_workload(take(data, "workload", dict, "the top"))
    return ModelTree(root, take(data, "model", str, "the top"), workload, tuple(versions.items()), tuple(notes))


def load_tree(path: str | Path) -> ModelTree:
    """Read a tree that `irene tree MODEL --format json --output FILE` saved."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"Cannot read the saved tree {str(path)!r}: {error.strerror or error}.") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"The saved tree {str(path)!r} is not JSON: {error}.") from None
    try:
        return tree_from_json(data)
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def is_saved_tree(path: str | Path) -> bool:
    """Whether a file says that it is a saved tree (valid or not), rather than a config or a directory."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8")) if Path(path).is_file() else None
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(data, dict) and data.get("format") == FORMAT


def compress_tree(tree: ModelTree) -> str:
    """The JSON of the tree as short ASCII text (zlib, base64), for a cell of a table."""
    text = json.dumps(tree_to_json(tree), separators=(",", ":"))
    return base64.b64encode(zlib.compress(text.encode(), 9)).decode("ascii")


def decompress_tree(text: str) -> ModelTree:
    """The tree behind `compress_tree`'s text."""
    try:
        data = json.loads(zlib.decompress(base64.b64decode(text, validate=True)))
    except (binascii.Error, zlib.error, ValueError) as error:
        raise BadInput(f"Compressed tree: cannot be unpacked ({error}); expected text from compress_tree.") from None
    return tree_from_json(data)


def _decode_node(data: Any, above: str, calls: list[Call], where: str) -> Node:
    if not isinstance(data, dict):
        fail(where, "an object", data)
    weights = tuple(take_count({"weights": w}, "weights", where) for w in take(data, "weights", list, where, []))
    call_index, parameters = take_count(data, "call_index", where, 0), take_count(data, "parameters", where, 0)
    if "call" in data:
        _reject_unknown(data, ("call", "call_index", "weights", "parameters", "path", "type"), where)
        index = take_count(data, "call", where)
        if index >= len(calls):
            fail(f"{where}.call", f"an index below {len(calls)}", index)
        call = calls[index]
        path, type_name = take(data, "path", str, where, above), take(data, "type", str, where, call.op)
        return Node("primitive", path, type_name, (), call, call_index, parameters, weights)
    _reject_unknown(data, ("kind", "path", "type", "call_index", "parameters", "weights", "children"), where)
    kind = take(data, "kind", str, where)
    if kind not in ("model", "module"):
        fail(f"{where}.kind", "'model' or 'module'", kind)
    path = take(data, "path", str, where)
    listed = take(data, "children", list, where)
    children = tuple(_decode_node(child, path, calls, f"{where}.children[{i}]") for i, child in enumerate(listed))
    return Node(kind, path, take(data, "type", str, where), children, None, call_index, parameters, weights)  # type: ignore[arg-type]


def _decode_workload(data: dict[str, Any]) -> Workload:
    where = "workload"
    _reject_unknown(data, tuple(f.name for f in fields(Workload)), where)
    optional: dict[str, int | None] = {}
    for key in ("seq_len", "decoder_seq_len"):
        if key not in data:
            fail(where, f"a key {key!r}", data)
        optional[key] = None if data[key] is None else take_count(data, key, where)
    counts = {key: take_count(data, key, where) for key in ("batch_size", "new_tokens")}
    texts = {key: take(data, key, str, where) for key in ("dtype", "task", "execution")}
    return Workload(**optional, **counts, **texts)  # type: ignore[arg-type]


def _reject_unknown(data: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    unknown = sorted(set(data) - set(known))
    if unknown:
        raise BadInput(f"Saved tree: unknown key {unknown[0]!r} in {where}; expected only {', '.join(known)}.")
