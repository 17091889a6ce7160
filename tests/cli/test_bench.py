"""`irene bench` from end to end, predicted: formats, several models and scenarios, and what exits with 2."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from irene.cli.main import run
from irene.scenarios.pentathlon import METRICS

TINY = ["bench", "bert-tiny", "--instances", "20", "--batch-size", "8", "--lengths", "16"]


def test_formats(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    two = [*TINY, "bert-tiny+layers:1", "--scenario", "fixed_batch", "--scenario", "single_stream"]
    figure = tmp_path / "made" / "five.svg"
    assert run([*two, "--carbon-intensity", "100", "--price", "0.5", "--figure", str(figure)]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("Made the folder") and "parameters" in captured.out and "CO2e/1000" in captured.out
    assert "fixed_batch: 20 instances, batches of 8, tokens 16; predicted on h200" in captured.out
    assert max(map(len, captured.out.splitlines())) <= 140 and "…" not in captured.out
    assert figure.read_text().count("<svg") == 1
    assert run([*two, "--format", "csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["model"] for row in table] == 2 * ["bert-tiny", "bert-tiny+layers:1"]
    assert run([*two, "--carbon-intensity", "100", "--format", "json"]) == 0
    entries = json.loads(capsys.readouterr().out)["entries"]
    assert [entry["scenario"]["name"] for entry in entries] == ["fixed_batch"] * 2 + ["single_stream"] * 2
    for entry, row in zip(entries, table, strict=True):
        assert set(entry["metrics"]) == set(METRICS)
        assert entry["metrics"]["energy_j"]["value"] == float(row["energy_j"])
        assert row["host_memory_bytes"] == "" and entry["metrics"]["host_memory_bytes"]["value"] is None
        published = entry["pentathlon"]
        assert published["total_energy"] == pytest.approx(entry["metrics"]["energy_j"]["value"] / 3.6e6)
        assert published["carbon"] == pytest.approx(published["total_energy"] * 0.1)
        assert published["latency"] == pytest.approx(published["time"] / entry["served_batches"])
        assert published["throughput_words"] is None and published["dram_energy"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--scenario", "fixd"], "Unknown scenario 'fixd'. Did you mean 'fixed_batch'?"),
        (["--scenario", "poisson_arrivals", "--rate", "0"], "rate must be a number above 0, in instances a second"),
        (["--lengths", "EMPTY"], "has none: expected one whole number a line."),
        (["--batch-size", "5000000", "--instances", "5000000"], "give a smaller batch_size, or shorter inputs."),
        (["--rate", "3"], "A rate and a window are of poisson_arrivals; fixed_batch has neither."),
        (["--figure", "a.gif"], "a.gif: expected a figure's file to end in .png or .svg, got .gif."),
        (["bert-tiny,batch-size=3"], "'bert-tiny,batch-size=3': batch-size is of the stream, which all models share."),
        (["no-such-model"], "no-such-model"),
    ],
)  # fmt: skip
def test_one_line_and_exit_2(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    empty = tmp_path / "empty.txt"
    empty.touch()
    assert run([*TINY, *(str(empty) if word == "EMPTY" else word for word in arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err


def test_no_model_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench"]) == 2
    assert "irene bench needs a model" in capsys.readouterr().err


def test_a_report_has_streams_too(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    asked = ["report", "bert-tiny", "--scenario", "single_stream", "--lengths", "8", "--batch-size", "2"]
    assert run([*asked, "--output", str(page)]) == 0
    assert "single_stream: 1,000 instances, tokens 8" in page.read_text("utf-8")
    assert run([*asked, "--scenario", "poisson_arrivals", "--output", str(page)]) == 2
    assert "poisson_arrivals needs a rate" in capsys.readouterr().err
