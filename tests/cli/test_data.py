"""`irene collect`, `irene train` and `irene evaluate` where they cannot go on: one line, and how to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from irene.cli.main import run


class Frame:
    """The part of a pandas frame that the command uses."""

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return [
            {"level": "model", "mape_pct": 7.25, "cases": 3},
            {"level": "module", "mape_pct": float("nan"), "cases": 0},
        ]


def test_evaluation_formats(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("irene.evaluation.evaluate", lambda _: Frame(), raising=False)
    assert run(["evaluate", "data"]) == 0
    assert "7.25" in capsys.readouterr().out
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


def test_collecting_without_a_plan(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["collect", "--plan", str(tmp_path / "no.toml"), "--output", str(tmp_path / "out")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("Error: ") and captured.err.count("\n") == 1
