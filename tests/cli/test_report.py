"""`irene report` and the file formats of `irene predict` from end to end."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pandas as pd
import pytest

from irene.cli.main import run

TINY = ["bert-tiny", "--batch-size", "8"]


def test_a_page_and_figures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    output, figures = tmp_path / "deep" / "page.html", tmp_path / "figures"
    arguments = ["report", "bert-tiny", "bert-mini", "--output", str(output), "--figures", str(figures)]
    assert run([*arguments, "--carbon-intensity", "56", "--price", "0.25"]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.endswith(f"Wrote 18 figures to {figures}.\n") and f"Wrote {output}.\n" in captured.err
    assert output.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert len(list(figures.iterdir())) == 18


def test_the_page_is_report_html_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["report", *TINY]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_models_of_one_name_are_told_apart(tmp_path: Path) -> None:
    saved, page = tmp_path / "before.json", tmp_path / "page.html"
    assert run(["predict", *TINY, "--format", "json", "--output", str(saved)]) == 0
    assert run(["report", str(saved), "bert-tiny,dtype=float32", "bert-tiny", "bert-tiny", "--output", str(page)]) == 0
    tabs = re.findall(r'role="tab"[^>]*>([^<]*)<', page.read_text(encoding="utf-8"))
    assert tabs == ["before", "bert-tiny,dtype=float32", "bert-tiny (1)", "bert-tiny (2)"]


def test_a_comparison_says_what_is_sure(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert run(["report", "bert-tiny", "bert-base-uncased", "--batch-size", "32", "--output", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "differs</span>" in text and "feed forward" in text


def test_it_says_what_a_change_would_do(tmp_path: Path) -> None:
    saved, page = tmp_path / "before.json", tmp_path / "page.html"
    assert run(["predict", *TINY, "--format", "json", "--output", str(saved)]) == 0
    asked = ["report", str(saved), "bert-tiny,batch-size=4", "--output", str(page)]
    assert run(asked) == 0
    found = re.findall(r"<td>(batch \d+ instead of \d+)</td>", page.read_text(encoding="utf-8"))
    assert found == ["batch 8 instead of 4", "batch 2 instead of 4"]  # nothing of what is saved
    assert run([*asked, "--no-counterfactuals"]) == 0
    assert "What would change it" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("file_format", "start"),
    [("perfetto", '{"displayTimeUnit"'), ("speedscope", '{"$schema"'), ("markdown", "### Predicted energy")],
)
def test_formats(capsys: pytest.CaptureFixture[str], file_format: str, start: str) -> None:
    assert run(["predict", *TINY, "--format", file_format]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith(start) and captured.out.endswith("\n")
    assert captured.err == ""


def test_parquet_goes_to_a_file_or_a_pipe(capfdbinary: pytest.CaptureFixture[bytes], tmp_path: Path) -> None:
    assert run(["predict", *TINY, "--format", "parquet", "--output", str(tmp_path / "rows.parquet")]) == 0
    assert run(["predict", *TINY, "--format", "parquet"]) == 0
    piped = pd.read_parquet(io.BytesIO(capfdbinary.readouterr().out))
    pd.testing.assert_frame_equal(piped, pd.read_parquet(tmp_path / "rows.parquet"))


def test_grams_and_money_in_the_table_and_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", *TINY]) == 0
    assert "gCO2e" not in capsys.readouterr().out
    asked = ["predict", *TINY, "--carbon-intensity", "FR", "--price", "0.25", "--pue", "1.2"]
    assert run(asked) == 0
    table = capsys.readouterr().out
    assert "gCO2e" in table and "France 2024" in table and "PUE 1.2" in table
    assert run([*asked, "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["footprint"]["site_energy_j"] == pytest.approx(1.2 * data["energy_j"])


@pytest.mark.filterwarnings("default:Without --carbon-intensity:UserWarning")
def test_a_card_without_grams_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", *TINY, "--format", "model-card"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "Warning: Without --carbon-intensity the card has no co2_eq_emissions.\n"
    assert captured.out.startswith("## Energy of inference")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["report", "bert-tinny"], "Did you mean"),
        (["report", "bert-tiny", "--carbon-intensity", "XX"], "nor a listed country"),
        (["report"], "Missing argument"),
        (["predict", "bert-tiny", "--pue", "0.5"], "--pue must be"),
        (["predict", "bert-tiny", "--format", "perfeto"], "Did you mean 'perfetto'?"),
    ],
)
def test_wrong_input_is_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(arguments) == 2
    err = capsys.readouterr().err
    assert words in err
    assert err.startswith("Error: ") and err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_bytes_do_not_go_to_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run(["predict", *TINY, "--format", "parquet"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "--output" in captured.err
