"""`irene collect`, `irene train` and `irene evaluate` where they cannot go on: one line, and how to."""

from __future__ import annotations

import json
from pathlib import Path

import pandas
import pandas as pd
import pytest

from irene.cli.main import run
from irene.predictor.bundle import load_bundle, shipped_bundle


def error_table() -> pandas.DataFrame:
    return pandas.DataFrame({"level": ["model", "module"], "mape_pct": [7.25, float("nan")], "cases": [3, 0]})


def test_evaluation_formats(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("irene.evaluation.evaluate", lambda _: error_table(), raising=False)
    assert run(["evaluate", "data"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[0].startswith("| level") and len(table) == 4
    assert run(["evaluate", "data", "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["mape_pct"] for row in rows] == [7.25, None]
    assert run(["evaluate", "data", "--format", "csv"]) == 0
    assert capsys.readouterr().out == "level,mape_pct,cases\nmodel,7.25,3\nmodule,,0\n"


@pytest.mark.parametrize("command", [["evaluate"], ["train", "--output", "bundle"]])
def test_an_unreadable_dataset(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]) -> None:
    for directory in (tmp_path / "missing", tmp_path):
        assert run([*command, str(directory)]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith("Error: ") and captured.err.count("\n") == 1


def test_training_into_a_place_that_cannot_be(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    fitted = load_bundle(shipped_bundle("h200"))
    monkeypatch.setattr("irene.dataset.store.load_rows", lambda _: pd.DataFrame({"families": ["bert"]}))
    monkeypatch.setattr("irene.leaves.survey_prior.gather_survey", lambda *_: None)
    monkeypatch.setattr("irene.predictor.training.fit", lambda rows, device, survey: fitted)
    assert run(["train", "data", "--output", str(tmp_path / "file" / "bundle")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert (
        captured.err.startswith("Error: Cannot write")
        and "Not a directory" in captured.err
        and captured.err.count("\n") == 1
    )


def test_collecting_without_a_plan(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["collect", "--plan", str(tmp_path / "no.toml"), "--output", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: ") and captured.err.count("\n") == 1


def test_training_on_rows_of_another_gpu_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = pd.DataFrame({"families": ["bert"]})
    rows.attrs["gpus"] = ["NVIDIA H100 80GB HBM3"]
    monkeypatch.setattr("irene.dataset.store.load_rows", lambda _: rows)
    assert run(["train", "data", "--device", "h200", "--output", str(tmp_path / "bundle")]) == 2
    captured = capsys.readouterr()
    assert "measured on NVIDIA H100 80GB HBM3, the spec sheet of h200 is of NVIDIA H200" in captured.err
    assert captured.err.count("\n") == 1 and not (tmp_path / "bundle").exists()


def test_calibrate_says_what_is_wrong_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["calibrate", "--device", "a10", "--output", str(tmp_path / "bundle"), "--simulate"]
    assert run([*asked, "--points", "3"]) == 2
    assert capsys.readouterr().err == (
        "Error: A calibration takes 8 to 400 points, got 3: fewer say nothing of what was not measured. "
        "Use --points 8, or 40.\n"
    )
    assert run(["calibrate", "--device", "h100", "--output", str(tmp_path), "--simulate"]) == 2
    assert "choose one of h100-sxm, h100-pcie" in capsys.readouterr().err
    assert run(["calibrate", "--output", str(tmp_path), "--simulate"]) == 2
    assert "h200 was measured at length" in capsys.readouterr().err
