"""`irene web`: what is wrong with its options or missing is one line, before anything is served."""

from __future__ import annotations

import pytest

from irene.cli.main import run
from irene.web import server


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "70000"], "from 0 to 65535"),
        (["--workers", "0"], "--workers must be at least 1"),
        (["--time-limit", "0"], "above 0"),
    ],
)
def test_wrong_options_are_one_line(options: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["web", *options]) == 2
    assert words in capsys.readouterr().err


def test_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    assert run(["web"]) == 2
    error = capsys.readouterr().err
    assert "needs gradio and mcp and pebble" in error and "[web]" in error and error.count("\n") == 1
