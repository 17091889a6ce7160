"""`irene models`, `irene devices` and `irene env`, in each format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from irene.cli.main import run


@pytest.mark.parametrize(
    ("command", "key", "value"),
    [
        ("models", "name", "google-bert/bert-base-uncased"),
        ("devices", "name", "h200"),
        ("env", "name", "torch"),
    ],
)
def test_listing(capsys: pytest.CaptureFixture[str], command: str, key: str, value: str) -> None:
    assert run([command]) == 0
    assert value in capsys.readouterr().out
    assert run([command, "--format", "json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert value in [row[key] for row in rows]
    assert run([command, "--format", "csv"]) == 0
    cells = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row[key] for row in cells] == [row[key] for row in rows]


def test_output_writes_there_instead(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "new" / "devices.json"
    assert run(["devices", "--format", "json", "--output", str(path)]) == 0
    assert capsys.readouterr().out == ""
    assert json.loads(path.read_text())[0]["peak_flop_per_s"]["bfloat16"] > 1e14


def test_env_says_what_is_missing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("irene.cli.listing_commands.PACKAGES", ("surely-not-installed",))
    assert run(["env"]) == 0
    assert "not installed" in capsys.readouterr().out
