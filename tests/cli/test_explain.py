"""`irene explain` and `irene compare` from end to end: formats, saved predictions, and what exits with 2."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest

from irene.cli.main import run
from irene.cli.predicting import read_settings
from irene.errors import BadInput, UnknownName

BERT = ["bert-tiny", "--batch-size", "8"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("predictions") / "tiny.json"
    assert run(["predict", *BERT, "--format", "json", "--output", str(path)]) == 0
    return path


def refuse(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and re.fullmatch(r"Error: [^\n]+\n", captured.err), captured
    return captured.err


def test_explain_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", *BERT, "--depth", "2"]) == 0
    captured = capsys.readouterr()
    assert "encoder.layer.0-1" in captured.out and "cuda_graph instead of eager" in captured.out
    assert captured.err == ""
    assert run(["explain", *BERT, "--format", "json", "--no-counterfactuals"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema_version"] == 1 and data["counterfactuals"] == []
    assert sum(node["share"] for node in data["nodes"]) == pytest.approx(1)
    assert run(["explain", *BERT, "--format", "csv", "--unfold", "--no-counterfactuals"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    for name in ("node", "layer", "kind"):
        assert sum(float(row["share"]) for row in rows if row["list"] == name) == pytest.approx(1)
    assert "encoder.layer.1" in {row["label"] for row in rows}


@pytest.mark.filterwarnings("default:.* is ignored:UserWarning")
def test_explain_a_saved_prediction(capsys: pytest.CaptureFixture[str], saved: Path) -> None:
    assert run(["explain", str(saved), "--batch-size", "4"]) == 0
    captured = capsys.readouterr()
    assert "batch 8" in captured.out and "What would change it" not in captured.out
    assert captured.err == "Warning: --batch-size 4 is ignored: the saved tree was traced with 8.\n"


def test_compare_settings_models_and_saved_predictions(capsys: pytest.CaptureFixture[str], saved: Path) -> None:
    given = ["bert-tiny,batch-size=8", "bert-mini,batch-size=8", "bert-tiny,batch-size=8,dtype=float32", str(saved)]
    assert run(["compare", *given, "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert [entry["name"] for entry in data["entries"]] == given
    assert data["entries"][0]["energy_j"] == data["entries"][3]["energy_j"]
    assert data["entries"][2]["workload"]["dtype"] == "float32"
    assert run(["compare", *given[:2]]) == 0
    table = capsys.readouterr().out
    assert "by layer" in table and "encoder.layer.0-1 (x2)" in table and "feed_forward" in table
    assert run(["compare", *given[:2], "--format", "csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    difference_j = data["differences"][0]["energy_j"]
    for name in ("layer", "role"):
        assert sum(float(row["difference_j"]) for row in rows if row["list"] == name) == pytest.approx(difference_j)


def test_what_cannot_be_explained_or_compared_exits_with_two(
    capsys: pytest.CaptureFixture[str], saved: Path, tmp_path: Path
) -> None:
    assert "two models or more" in refuse(capsys, "compare", "bert-tiny")
    assert "given twice" in refuse(capsys, "compare", "bert-tiny", "bert-tiny")
    assert "Did you mean 'bert-tiny'" in refuse(capsys, "compare", "bert-tinny", "bert-mini")
    assert "Unknown device" in refuse(capsys, "compare", "bert-tiny", "bert-tiny,device=abacus")
    assert "may mean several devices" in refuse(capsys, "compare", "bert-tiny", "bert-mini", "--device", "a100")
    data = json.loads(saved.read_text())
    data["workload"]["new_tokens"] = 16
    generation = tmp_path / "generation.json"
    generation.write_text(json.dumps(data))
    assert "is a generation and" in refuse(capsys, "compare", "bert-tiny", str(generation))
    data["workload"]["new_tokens"], data["device"] = 0, "abacus"
    generation.write_text(json.dumps(data))
    assert "Unknown device 'abacus'" in refuse(capsys, "compare", str(saved), str(generation))
    assert "--depth must be at least 0" in refuse(capsys, "explain", "bert-tiny", "--depth", "-1")
    assert "--top must be at least 1" in refuse(capsys, "explain", "bert-tiny", "--top", "0")


@pytest.mark.parametrize("file_format", ["table", "json", "csv", "markdown", "github"])
def test_fail_above_leaves_with_three_in_every_format(
    capsys: pytest.CaptureFixture[str], saved: Path, file_format: str
) -> None:
    given = ["compare", str(saved), "bert-mini,batch-size=8", "--format", file_format]
    assert run([*given, "--fail-above", "5%"]) == 3
    captured = capsys.readouterr()
    assert captured.out and re.fullmatch(
        r"--fail-above 5% failed: bert-mini.* interval .* decides[^\n]+\n", captured.err
    )
    assert run([*given, "--fail-above", "900%"]) == 0
    assert "passed: bert-mini" in capsys.readouterr().err
    assert "if you mean per cent" in refuse(capsys, *given, "--fail-above", "5")


def test_read_settings() -> None:
    assert read_settings("bert-tiny") == ("bert-tiny", {})
    with pytest.raises(UnknownName, match="Did you mean 'dtype'"):
        read_settings("bert-tiny,dtyp=float32")
    with pytest.raises(BadInput, match="must be a whole number, got 'many'"):
        read_settings("bert-tiny,batch-size=many")
    with pytest.raises(BadInput, match="expected settings like"):
        read_settings("bert-tiny,float32")
