"""IrEne-2021 files: nothing is lost on the way in and out, and a bad line says where it is."""

from __future__ import annotations

import copy
import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from irene.errors import BadDataset, BadInput
from irene.irene_2021.node_table import tabulate_nodes
from irene.irene_2021.tree_files import MeasuredTree, load_trees, save_trees, with_predictions
from tests.irene_2021.made_trees import forest, tree

REAL = os.environ.get("IRENE_2021_DATA")
needs_data = pytest.mark.skipif(not REAL, reason="IRENE_2021_DATA is not set: the measured trees are not here")


def write_lines(path: Path, trees: list[MeasuredTree]) -> str:
    text = "".join(json.dumps(one.record) + "\n" for one in trees)
    path.write_text(text, encoding="utf-8")
    return text


@pytest.mark.parametrize("name", ["trees.jsonl", "trees.jsonl.gz"])
def test_out_and_in_again_is_the_same_bytes(tmp_path: Path, name: str) -> None:
    trees = forest()
    trees[0].record["note"] = {"kept": ["as", 1, None, 1e-320]}
    trees[0].root["flops"] = 12345678901234567890123  # no float holds it
    plain = write_lines(tmp_path / "in.jsonl", trees)
    path = tmp_path / name
    save_trees(load_trees(tmp_path / "in.jsonl"), path)
    data = path.read_bytes()
    assert (gzip.decompress(data) if name.endswith(".gz") else data).decode() == plain
    first = path.read_bytes()
    save_trees(load_trees(path), path)
    assert path.read_bytes() == first
    assert os.listdir(tmp_path).count(name) == 1 and not list(tmp_path.glob(".*"))


def test_predictions_stand_in_every_node_and_come_back(tmp_path: Path) -> None:
    trees = [tree("bert-a", 4, 32), tree("gpt-b", 4, 32)]
    table = tabulate_nodes(trees)
    values = np.arange(len(table)) + 0.1
    filled = with_predictions(trees, values.tolist())
    assert "predicted_energy" not in trees[0].root  # the original stays as it was
    save_trees(filled, tmp_path / "out.jsonl")
    again = [n for one in load_trees(tmp_path / "out.jsonl") for n in one.walk()]
    assert [n["predicted_energy"] for n in again] == values.tolist()
    assert [n["scope"] for n in again] == table.scope.tolist()
    for wrong in (values[:-1], np.append(values, 1.0)):
        with pytest.raises(ValueError, match="predictions"):
            with_predictions(trees, wrong.tolist())


def test_the_table_is_the_tree() -> None:
    one = tree("bert-a", 4, 32)
    relu = copy.deepcopy(next(n for n in one.walk() if n["instance_type"] == "Tanh"))
    relu.update(type="module", instance_type="ReLU", id="relu")
    one.root["child_nodes_obj"].append(relu)
    table = tabulate_nodes([tree("gpt-b", 8, 64), one])
    names = dict(zip(table.scope[table.tree == 1].tolist(), range(len(table)), strict=False))
    assert len(names) < len(table)  # two matmuls share a scope
    assert set(table.kind) == {"ml", "module", "model"}
    assert table.kind[-1] == "ml" and table.operation[-1] == "relu"  # a childless module is a primitive
    assert {"matmul"} == set(table.operation[np.char.endswith(table.scope, "matmul")])
    for row in np.flatnonzero(table.parent >= 0):
        parent = table.parent[row]
        assert parent < row and table.depth[row] == table.depth[parent] + 1 and table.tree[row] == table.tree[parent]
        assert table.scope[row].startswith(table.scope[parent])
    slow = np.zeros(len(table))
    for row, parent in enumerate(table.parent):
        if parent >= 0:
            slow[parent] += table.energy_j[row]
    assert np.allclose(table.sum_children(table.energy_j), slow)
    assert table.feature("input_size")[0] == 8 * 64 and table.feature("flops")[0] > 0
    second = table.select_trees(np.array([False, True]))
    assert second.scope.tolist() == table.scope[table.tree == 1].tolist()
    assert np.array_equal(second.energy_j, table.energy_j[table.tree == 1]) and second.parent.min() == -1
    assert (
        second.parent == np.where(second.parent < 0, -1, table.parent[table.tree == 1] - (table.tree == 0).sum())
    ).all()
    assert np.array_equal(second.depth, table.depth[table.tree == 1]) and second.model_names.tolist() == ["bert-a"]


def leaf(record: dict[str, Any]) -> dict[str, Any]:
    node: dict[str, Any] = record["frontend_tree"]["child_nodes_obj"][1]["child_nodes_obj"][0]["child_nodes_obj"][2]
    assert node["scope"] == "root.0.attention.value"
    return node


def change(key: str, value: Any) -> Any:
    return lambda record: leaf(record).update({key: value})


BAD_NODES = {
    "feature 'gpu_clk' is missing": lambda record: leaf(record).pop("gpu_clk"),
    "feature 'flops' is None": change("flops", None),
    "feature 'times_mean' is nan": change("times_mean", float("nan")),
    "feature 'mem_bytes' is '3'": change("mem_bytes", "3"),
    "feature 'gpu' is True": change("gpu", True),
    "feature 'mem' is 1000000": change("mem", 10**400),
    "'ground_truth_energy' is missing": lambda record: leaf(record).pop("ground_truth_energy"),
    "'ground_truth_energy' is -1.0": change("ground_truth_energy", -1.0),
    "'ground_truth_energy' is 0;": change("ground_truth_energy", 0),
    "'predicted_energy' is 'x'": change("predicted_energy", "x"),
    "unknown type 'kernel'": change("type", "kernel"),
    "'child_nodes_obj' must be a list": change("child_nodes_obj", None),
    "is a leaf, but this one has children": lambda record: leaf(record)["child_nodes_obj"].append({}),
    "a model must have children": change("type", "model"),
}


@pytest.mark.parametrize("complaint", BAD_NODES)
def test_a_bad_node_is_named_with_file_and_line(tmp_path: Path, complaint: str) -> None:
    trees = [tree("bert-a", 4, 32), tree("gpt-b", 4, 32)]
    BAD_NODES[complaint](trees[1].record)
    path = tmp_path / "data.jsonl"
    write_lines(path, trees)
    with pytest.raises(BadDataset) as caught:
        load_trees(path)
    message = str(caught.value)
    assert message.startswith("data.jsonl, line 2, node 'root.0.attention.value': ") and complaint in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not a JSON object"), ("[1]", "expected an object"), ("7", "expected an object"), ("{}", "'model_name'"),
        ("[" * 100_000, "not a JSON object"),
        ('{"model_name": "m", "batch_size": 0, "seq_len": 8}', "'batch_size' must be a number of at least 1"),
        ('{"model_name": "m", "batch_size": 8, "seq_len": 8}', "the root: a node must be an object"),
        ('{"model_name": "m", "batch_size": 8, "seq_len": 8, "frontend_tree": {"id": 1}}', "the root: 'id' must be a"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "data.jsonl"
    text = write_lines(path, [tree("gpt-b", 4, 32)])
    path.write_text(f"{text}\n{line}\n")  # an empty line is skipped, and still counted
    with pytest.raises(BadDataset, match=f"^data.jsonl, line 3.*{complaint}"):
        load_trees(path)


def test_other_things_that_are_no_trees(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="No file"):
        load_trees(tmp_path / "absent.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(BadDataset, match="holds no tree"):
        load_trees(tmp_path / "empty.jsonl")
    save_trees([tree("gpt-b", 4, 32)], tmp_path / "torn.jsonl.gz")
    (tmp_path / "torn.jsonl.gz").write_bytes((tmp_path / "torn.jsonl.gz").read_bytes()[:-50])
    with pytest.raises(BadDataset, match="torn.jsonl.gz is cut off"):
        load_trees(tmp_path / "torn.jsonl.gz")
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(300_000_000)))
    with pytest.raises(BadDataset, match="unpacks to more than"):
        load_trees(tmp_path / "bomb.gz")
    deep = tree("gpt-b", 4, 32).root
    for _ in range(300):
        deep = {**tree("gpt-b", 4, 32).root, "child_nodes_obj": [deep]}
    (tmp_path / "deep.jsonl").write_text(json.dumps({**tree("gpt-b", 4, 32).record, "frontend_tree": deep}))
    with pytest.raises(BadDataset, match="at most 200 deep"):
        load_trees(tmp_path / "deep.jsonl")
    one = tree("gpt-b", 4, 32)
    write_lines(tmp_path / "twice.jsonl", [one, one])
    with pytest.raises(BadDataset, match=r"line 2, node 'root': its id .* is already that of twice.jsonl, line 1"):
        load_trees(tmp_path / "twice.jsonl")
    (tmp_path / "leaf.jsonl").write_text(json.dumps({**one.record, "frontend_tree": one.root["child_nodes_obj"][0]}))
    with pytest.raises(BadDataset, match="the root's type must be 'model'"):
        load_trees(tmp_path / "leaf.jsonl")


def test_what_is_not_asked_for_may_be_absent(tmp_path: Path) -> None:
    one = tree("gpt-b", 4, 32)
    for node in one.walk():
        del node["gpu_energy_mean"], node["ground_truth_energy"]
    write_lines(tmp_path / "data.jsonl", [one])
    table = tabulate_nodes(load_trees(tmp_path / "data.jsonl", features=("flops",), measured=False))
    assert np.isnan(table.energy_j).all() and np.isnan(table.feature("gpu_energy_mean")).all()
    assert (table.feature("flops") >= 0).all()


def test_nothing_is_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "out.jsonl"
    save_trees([tree("gpt-b", 4, 32)], path)
    before = path.read_bytes()
    bad = with_predictions([tree("bert-a", 4, 32)], [float("nan")] * len(tabulate_nodes([tree("bert-a", 4, 32)])))
    with pytest.raises(BadDataset, match="bert-a.jsonl, line 4 cannot be written as JSON"):
        save_trees(bad, path)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", refuse)
    with pytest.raises(BadInput, match="Cannot write .*no space left"):
        save_trees([tree("bert-a", 4, 32)], path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == ["out.jsonl"]


@needs_data
@pytest.mark.parametrize("name", ["irene_device_1", "irene_device_2", "tiny_ctrl_device_1", "tiny_ctrl_device_2"])
def test_the_real_files_survive(tmp_path: Path, name: str) -> None:
    path = Path(str(REAL)) / f"{name}.jsonl.gz"
    trees = load_trees(path)
    save_trees(trees, tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_bytes() == gzip.decompress(path.read_bytes())
    table = tabulate_nodes(trees)
    assert (table.kind[table.is_leaf] == "ml").all() and (table.kind[~table.is_leaf] != "ml").all()
