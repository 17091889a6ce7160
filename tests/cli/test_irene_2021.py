"""`irene irene-2021`: train, predict, evaluate and cross-validate on files, as the authors' four scripts do."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from irene.cli.main import run
from irene.irene_2021.tree_files import load_trees, save_trees
from tests.irene_2021.made_trees import forest


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    save_trees(forest(), tmp_path / "trees.jsonl")
    return tmp_path / "trees.jsonl"


def test_from_trees_to_errors(trees: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, predictions = tmp_path / "model.json", tmp_path / "out.jsonl.gz"
    assert run(["irene-2021", "train", str(trees), "--output", str(model), "--seed", "3"]) == 0
    assert run(["irene-2021", "predict", str(trees), "--model", str(model), "--output", str(predictions)]) == 0
    assert capsys.readouterr().out == ""  # no data for standard output
    assert all("predicted_energy" in node for tree in load_trees(predictions) for node in tree.walk())
    assert run(["irene-2021", "evaluate", str(trees), str(predictions)]) == 0
    errors = json.loads(capsys.readouterr().out)
    assert list(errors) == ["ml", "module", "model"] and errors["ml"] < 1


def test_settings_and_formats(trees: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.toml").write_text("training_strategy = 'none'\n")
    command = ["irene-2021", "crossvalidate", str(trees), "--settings", str(tmp_path / "s.toml"), "--seeds", "2"]
    assert run([*command, "--format", "csv", "--leave-out", "family"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["left_out"] for row in rows] == ["bert-a", "gpt-b", "other-c", "gpt-d", "overall"]
    assert rows[1]["module_min_pct"] == rows[1]["module_max_pct"]  # no weights, no chance
    assert run(command) == 0
    assert "overall" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["crossvalidate", "TREES", "--leave-out", "layer"], "Unknown hold-out 'layer'"),
        (["crossvalidate", "TREES", "--seeds", "0"], "--seeds must be at least 1"),
        (["crossvalidate", "absent"], "No file 'absent'"),
        (["predict", "TREES", "--model", "TREES", "--output", "out"], "The fitted irene-2021"),
        (["train", "TREES", "--settings", "TREES", "--output", "out"], "settings"),
    ],
)
def test_bad_input_is_one_line(
    trees: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    given = [str(trees) if word == "TREES" else word for word in arguments]
    assert run(["irene-2021", *given]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and complaint in captured.err
