"""Generations at the command: what is refused in one line, and what a gate's exit code says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from irene.cli.main import run
from irene.units import format_quantity
from tests.tracing.tiny_models import tiny_config


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("gpt2 --new-tokens -1", "--new-tokens must be a whole number of at least 0"),
        ("gpt2 --seq-len 1020 --new-tokens 8", "beyond the 1024 learned positions"),
        ("bert-base-uncased --new-tokens 3", "generates no tokens"),
        ("gpt2 --cache static", "static cache needs a context"),
        ("gpt2 --new-tokens 3 --cache-len 9", "cache_len is what a static cache has room for"),
        ("gpt2 --seq-len 7 --new-tokens 3 --cache static --cache-len 9", "cache_len must be at least 10"),
        ("gpt2 --context-len 9 --cache paged", "Unknown cache 'paged'"),
        ("t5-small --context-len 5", "context_len is of decoders"),
        ("t5-small --seq-len 9 --context-len 5 --new-tokens 4", "begins with its start token and a cache that grows"),
        ("t5-small --seq-len 9 --cache static --new-tokens 4", "begins with its start token and a cache that grows"),
        ("bert-tiny --expert-routing zipf:1", "and this one does not"),
        ("bert-tiny --expert-routing skewed", "expected balanced, zipf:S"),
    ],
)
def test_what_means_nothing_is_refused(arguments: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", *arguments.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and reason in captured.err and captured.err.count("\n") == 1


def test_a_routing_of_the_command_is_that_of_python(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counts, config = tmp_path / "counts.json", tmp_path / "config.json"
    config.write_text(json.dumps(tiny_config("mixtral").to_dict()))
    size = ["--batch-size", "4", "--seq-len", "16", "--format", "json"]

    def joules(routing: str) -> float:
        assert run(["predict", str(config), *size, "--expert-routing", routing]) == 0
        return float(json.loads(capsys.readouterr().out)["energy_j"])

    counts.write_text("[1, 0, 0, 1]")
    assert joules(str(counts)) < joules("balanced")
    counts.write_text("[1, 0, 1]")
    assert run(["predict", str(config), *size, "--expert-routing", str(counts)]) == 2
    captured = capsys.readouterr()
    assert "the histogram is of 3 experts, the model has 4 a layer" in captured.err and captured.err.count("\n") == 1


@pytest.mark.parametrize(("fits", "code"), [(True, 0), (False, 3)])
def test_a_gate_for_what_must_fit(fits: bool, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "saved.json"
    assert run(["predict", "bert-tiny", "--format", "json", "--output", str(path)]) == 0
    saved = json.loads(path.read_text())
    assert saved["fits"] is True and saved["memory_bytes"]["peak"] > saved["memory_bytes"]["weights"] > 0
    path.write_text(json.dumps(saved | {"fits": fits}))
    assert run(["predict", str(path), "--must-fit"]) == code
    assert "at the peak" in capsys.readouterr().out  # answered all the same
    path.write_text(json.dumps({key: value for key, value in saved.items() if key not in ("fits", "memory_bytes")}))
    assert run(["predict", str(path), "--must-fit"]) == 2


@pytest.mark.parametrize("model", ["gpt2", "t5-small"])
def test_every_command_shows_the_phases(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In its table, its JSON and its page: their joules, and those of a token, as `predict` says them."""
    asked = ["--seq-len", "8", "--new-tokens", "3"]

    def printed(command: str, *more: str) -> str:
        assert run([command, *more, *asked]) == 0
        return capsys.readouterr().out

    predicted = json.loads(printed("predict", model, "--format", "json"))
    keys = ("phases", "energy_per_output_token_j", "time_per_output_token_interval_s")
    names = [phase["name"] for phase in predicted["phases"]]
    assert names == [*(["encode"] if model == "t5-small" else []), "prefill", "decode"]

    both = (model, f"{model},batch_size=2")
    explained = json.loads(printed("explain", model, "--format", "json"))
    entry, other = json.loads(printed("compare", *both, "--format", "json"))["entries"]
    for generation in (explained["generation"], entry["generation"]):
        assert {key: generation[key] for key in keys} == {key: predicted[key] for key in keys}
    assert entry["energy_per_token_j"] == predicted["energy_per_output_token_j"]
    assert other["energy_per_token_j"] == pytest.approx(other["energy_j"] / (2 * 3))

    page = tmp_path / "report.html"
    assert run(["report", model, *asked, "--output", str(page)]) == 0
    tables = [
        printed("explain", model), printed("compare", *both), printed("compare", *both, "--format", "github"),
        page.read_text("utf-8"),
    ]  # fmt: skip
    token = format_quantity(predicted["energy_per_output_token_j"], "J")
    for table in tables:
        assert token in table and all(name in table for name in names), table[:2000]
