"""Saved trees come back equal, and anything else in their place is refused with its place and reason."""

from __future__ import annotations

import base64
import contextlib
import copy
import json
import math
import random
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import irene
from irene.errors import BadInput
from irene.model_tree.serialization import (
    compress_tree,
    decompress_tree,
    is_tree,
    load_tree,
    tree_from_json,
    tree_to_json,
)
from irene.model_tree.tree import ModelTree, Node
from irene.model_tree.workload import DTYPES, EXECUTIONS, Workload
from irene.primitives.call import DTYPE_BYTES, Call, TensorSpec

names = st.sampled_from(["a", "layer.0", "layer.1.dense", "ünï"])
counts = st.integers(0, 10**12)
sizes = st.integers(1, 10**5)


@st.composite
def tensors(draw: Any) -> TensorSpec:
    shape = tuple(draw(st.lists(st.integers(0, 9), max_size=4)))
    stride = tuple(draw(st.integers(0, 99)) for _ in shape)
    return TensorSpec(shape, stride, draw(st.sampled_from(sorted(DTYPE_BYTES))), draw(st.booleans()))


scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5) | st.floats(allow_nan=False)
arguments = st.recursive(scalars | tensors(), lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=4)
calls = st.builds(
    Call,
    st.sampled_from(["aten.linear.default", "aten.add.Tensor", "custom"]),
    st.lists(arguments, max_size=3).map(tuple),
    st.dictionaries(names, arguments, max_size=2).map(lambda d: tuple(d.items())),
    st.lists(tensors(), max_size=2).map(tuple),
    st.booleans(),
)
weight_ids = st.lists(st.integers(0, 99), max_size=2).map(tuple)
leaves = st.builds(
    Node, st.just("primitive"), names, names, st.just(()), calls, st.integers(0, 9), st.integers(0, 9), weight_ids
)


def modules(inner: Any) -> Any:
    children = st.lists(inner, max_size=4).map(tuple)
    return st.builds(Node, st.just("module"), names, names, children, st.none(), st.integers(0, 9), counts, weight_ids)


trees = st.builds(
    ModelTree,
    st.recursive(leaves, modules, max_leaves=12),
    st.text(),
    st.builds(
        Workload,
        batch_size=sizes,
        seq_len=st.none() | sizes,
        decoder_seq_len=st.none() | sizes,
        dtype=st.sampled_from(DTYPES),
        task=names,
        execution=st.sampled_from(EXECUTIONS),
        new_tokens=counts,
    ),  # fmt: skip
    st.dictionaries(names, names, max_size=2).map(lambda d: tuple(d.items())),
    st.lists(st.text(), max_size=2).map(tuple),
)


@given(trees)
def test_round_trip(tree: ModelTree) -> None:
    back = tree_from_json(json.loads(json.dumps(tree_to_json(tree))))
    assert back == tree
    assert [n.call.signature for n in back.root.leaves] == [n.call.signature for n in tree.root.leaves]
    assert decompress_tree(compress_tree(tree)) == tree


def test_equal_numbers_of_different_types_stay_different() -> None:
    ops = [Call("aten.add.Tensor", (value,)) for value in (1, 1.0, True, math.inf)]
    root = Node("model", "", "M", tuple(Node("primitive", "", op.op, (), op, i) for i, op in enumerate(ops)))
    back = tree_from_json(tree_to_json(ModelTree(root, "m", Workload())))
    assert [repr(node.call.args[0]) for node in back.root.leaves] == ["1", "1.0", "True", "inf"]


def test_equal_layers_cost_little(tree: ModelTree) -> None:
    data = tree_to_json(tree)
    assert len(data["calls"]) == 3
    assert len(list(tree.root.leaves)) == 17


def test_load_tree(tree: ModelTree, tmp_path: Path) -> None:
    path = tmp_path / "tree.json"
    path.write_text(json.dumps(tree_to_json(tree)))
    assert is_tree(json.loads(path.read_text()))
    assert load_tree(path) == irene.load_tree(str(path)) == tree
    assert not is_tree({"model_type": "bert"}) and not is_tree([])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(schema_version=2), ["schema_version is 2", "Update irene"]),
        (lambda d: d.update(schema_version=None), ["schema_version is None", "irene tree"]),
        (lambda d: d.update(colour="red"), ["'colour'", "the top"]),
        (lambda d: d.pop("calls"), ["'calls'"]),
        (lambda d: d["root"].update(extra=1), ["'extra'", "root"]),
        (lambda d: d["root"]["children"][0].pop("path"), ["root.children[0]", "'path'"]),
        (lambda d: d["root"].update(kind="layer"), ["root.kind", "'layer'"]),
        (lambda d: d["root"]["children"][-1].update(call=99), [".call", "99"]),
        (lambda d: d["root"]["children"][-1].update(weights=[-1]), ["weights", "-1"]),
        (lambda d: d["root"].update(parameters=True), ["root.parameters", "True"]),
        (lambda d: d["calls"][0]["args"][0]["t"].__setitem__(2, "float7"), ["calls[0]", "'float7'"]),
        (lambda d: d["calls"][0]["args"][0]["t"].__setitem__(1, [1]), ["calls[0]", "stride"]),
        (lambda d: d["calls"][0]["args"].append({"x": 1}), ["calls[0]"]),
        (lambda d: d["calls"][0].update(x=1), ["'x'", "calls[0]"]),
        (lambda d: d["workload"].update(beams=4), ["'beams'", "workload"]),
        (lambda d: d["workload"].pop("seq_len"), ["'seq_len'"]),
        (lambda d: d["workload"].update(batch_size="8"), ["workload.batch_size", "'8'"]),
        (lambda d: d.update(format="other"), ["irene.model_tree"]),
        (lambda d: d["calls"][0].update(op="a;b"), ["calls[0].op", "'a;b'"]),
        (lambda d: d["calls"][0]["args"][0]["t"].__setitem__(0, [2**60, 4]), ["calls[0].args[0].t", "up to"]),
        (lambda d: d.update(model="x" * 20_000), ["at model", "20000 characters"]),
        (lambda d: d.update(root=nest(d["root"], 300)), ["200 deep"]),
    ],
)
def test_strict(tree: ModelTree, change: Any, words: list[str]) -> None:
    data = copy.deepcopy(tree_to_json(tree))
    change(data)
    with pytest.raises(BadInput) as caught:
        tree_from_json(data)
    for word in words:
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def nest(node: dict[str, Any], levels: int) -> dict[str, Any]:
    for _ in range(levels):
        node = {"kind": "model", "path": "", "type": "M", "children": [node]}
    return node


def test_a_call_without_its_operands_is_named(tree: ModelTree, tmp_path: Path) -> None:
    data = tree_to_json(tree)
    data["calls"][0]["args"] = [1]
    (tmp_path / "x.json").write_text(json.dumps(data))
    with pytest.raises(BadInput, match=r"x\.json: distinct call 0: aten\.linear\.default: expected a tensor"):
        load_tree(tmp_path / "x.json")


def test_a_cell_that_unpacks_to_a_thousand_times_its_size_is_refused(tree: ModelTree) -> None:
    bomb = base64.b64encode(zlib.compress(bytes(300_000_000), 9)).decode("ascii")
    with pytest.raises(BadInput, match="unpacks to more than"):
        decompress_tree(bomb)


def test_any_damage_is_bad_input_or_a_tree(tree: ModelTree) -> None:
    """Whatever value stands anywhere in the file, reading it never fails in another way."""
    text = json.dumps(tree_to_json(tree))
    for seed in range(500):
        data = _damage(json.loads(text), random.Random(seed))
        with contextlib.suppress(BadInput):
            tree_from_json(data)


def _damage(data: Any, rng: random.Random) -> Any:
    spots: list[tuple[Any, Any]] = []
    stack = [data]
    while stack:
        value = stack.pop()
        keys = list(value) if isinstance(value, dict) else range(len(value))
        spots += [(value, key) for key in keys]
        stack += [value[key] for key in keys if isinstance(value[key], (dict, list))]
    where, key = rng.choice(spots)
    where[key] = rng.choice([None, -1, 10**30, 1.5, "", "x", [], {}, [None], {"t": []}, {"t": [[1], [1], []]}, True])
    return data


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000])
def test_files_that_are_no_trees(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(BadInput, match=r"x\.json"):
        load_tree(path)


def test_missing_file_and_damaged_text() -> None:
    with pytest.raises(BadInput, match="No such file"):
        load_tree("/no/such/file.json")
    with pytest.raises(BadInput, match="cannot be unpacked"):
        decompress_tree("not a tree")
