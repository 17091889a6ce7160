"""`irene predict` and `irene tree` from end to end: names, files, saved trees, formats and warnings."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from irene.cli.main import run
from irene.model_tree.serialization import tree_to_json
from irene.model_tree.tree import ModelTree

BERT = ["bert-base-uncased", "--batch-size", "8", "--seq-len", "128"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trees") / "bert.json"
    assert run(["tree", *BERT, "--format", "json", "--output", str(path)]) == 0
    return path


def test_tree_formats(capsys: pytest.CaptureFixture[str], saved: Path) -> None:
    assert run(["tree", str(saved)]) == 0
    table = capsys.readouterr().out
    assert "layer.0 ... 11 (x12)" in table
    assert "109,482,240" in table
    assert run(["tree", str(saved), "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    linears = [int(row["flop"]) for row in rows if row["type"] == "aten.linear.default"]
    assert len(linears) == 12 * 6 + 1
    assert run(["tree", str(saved), "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(saved.read_text())
    assert saved.stat().st_size < 100_000


def test_predict_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", *BERT]) == 0
    captured = capsys.readouterr()
    assert "BertModel" in captured.out
    assert captured.err == ""
    assert run(["predict", *BERT, "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["workload"]["batch_size"] == 8
    assert 0.1 < data["energy_j"] < 10
    assert sum(data["breakdown_j"].values()) == pytest.approx(data["energy_j"])
    assert sum(data["provenance_shares"].values()) == pytest.approx(1)
    assert run(["predict", *BERT, "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert float(rows[0]["energy_j"]) == data["energy_j"]


def test_a_saved_tree_predicts_the_same_without_torch(capsys: pytest.CaptureFixture[str], saved: Path) -> None:
    assert run(["predict", *BERT, "--format", "json"]) == 0
    direct = json.loads(capsys.readouterr().out)
    code = """
import sys
from irene.cli.main import run
class Block:  # not `sys.modules["torch"] = None`: SciPy takes what is there for the module
    def find_spec(self, name, *_):
        if name.split(".")[0] in ("torch", "transformers"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
sys.exit(run(sys.argv[1:]))
"""
    command = [sys.executable, "-c", code, "predict", str(saved), "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["energy_j"] == pytest.approx(direct["energy_j"], rel=1e-9)


@pytest.mark.filterwarnings("default:.* is ignored:UserWarning")
def test_the_workload_of_a_saved_tree_wins(capsys: pytest.CaptureFixture[str], saved: Path) -> None:
    assert run(["predict", str(saved), "--batch-size", "16", "--seq-len", "128", "--format", "json"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "Warning: --batch-size 16 is ignored: the saved tree was traced with 8.\n"
    assert json.loads(captured.out)["workload"]["batch_size"] == 8


def test_a_directory_with_only_a_config(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    config = {"model_type": "bert", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    (tmp_path / "config.json").write_text(json.dumps(config | {"intermediate_size": 128, "vocab_size": 100}))
    for model in (tmp_path, tmp_path / "config.json"):
        assert run(["predict", str(model), "--execution", "cuda_graph", "--format", "json"]) == 0
        assert json.loads(capsys.readouterr().out)["energy_j"] > 0


@pytest.mark.filterwarnings("default:.* is ignored:UserWarning")
def test_seq_len_of_a_model_of_images_is_ignored(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["tree", "google/vit-base-patch16-224", "--seq-len", "64", "--depth", "0"]) == 0
    assert capsys.readouterr().err.count("--seq-len 64 is ignored") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bert-bas-uncased"], "Did you mean 'bert-base-uncased'?"),
        (["bert-base-uncased", "--dtype", "bfloat17"], "Unknown dtype 'bfloat17'. Did you mean 'bfloat16'?"),
        (["bert-base-uncased", "--execution", "lazy"], "Unknown execution 'lazy'"),
        (["bert-base-uncased", "--task", "dancing"], "dancing"),
        (["bert-base-uncased", "--seq-len", "513"], "512"),
    ],
)
@pytest.mark.parametrize("command", ["predict", "tree"])
def test_wrong_input_is_one_line(
    capsys: pytest.CaptureFixture[str], command: str, arguments: list[str], words: str
) -> None:
    assert run([command, *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words in captured.err
    assert captured.err.startswith("Error: ") and captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [("{", "not"), ('{"model_type": "beert"}', "beert"), ("{}", "model_type"), ("[1]", "")],
)
def test_a_broken_config_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "config.json").write_text(text)
    assert run(["predict", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Error: ") and err.count("\n") == 1 and words in err


def test_a_broken_saved_tree_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path, tree: ModelTree) -> None:
    path = tmp_path / "tree.json"
    path.write_text(json.dumps(tree_to_json(tree) | {"schema_version": 99}))
    assert run(["predict", str(path)]) == 2
    assert "Update irene" in capsys.readouterr().err


def test_a_bundle_that_is_none(capsys: pytest.CaptureFixture[str], tmp_path: Path, saved: Path) -> None:
    for bundle in (tmp_path / "missing", tmp_path / "broken.json"):
        (tmp_path / "broken.json").write_text("{")
        assert run(["predict", str(saved), "--predictor", str(bundle)]) == 2
        err = capsys.readouterr().err
        assert err.startswith("Error: ") and err.count("\n") == 1
