"""`irene sweep` from end to end: lists and ranges, formats, and what exits with 2."""

from __future__ import annotations

import csv
import inspect
import io
import json
import re
from functools import partial

import pytest
from tqdm import tqdm

from irene.cli import sweep_command
from irene.cli.main import run
from irene.cli.sweep_command import print_sweep, read_numbers
from irene.predictor import sweep, sweeping

BEYOND = "Sequence length 600 is beyond the 512 learned positions of this bert model; give at most 512."
MANY = "999 batch sizes times 500 lengths are more than 100000 points."
LONG = "--seq-len: the range '1:200001' has more than 100000 numbers; give a larger step."
TINY = ["sweep", "bert-tiny", "--batch-size", "1,8", "--seq-len", "16:48:16"]


def test_formats(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*TINY, "--execution", "cuda_graph"]) == 0
    captured = capsys.readouterr()
    assert captured.err == "" and "bert-tiny: 6 points, bfloat16, base, cuda_graph on h200" in captured.out
    rows = [line.split() for line in captured.out.splitlines() if re.match(r" +\d", line)]
    assert [row[:2] for row in rows] == [[b, n] for b in ("1", "8") for n in ("16", "32", "48")]
    assert run([*TINY, "--format", "csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert run([*TINY, "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["schema_version"] == 1 and data["model"] == "bert-tiny"
    assert [float(row["energy_j"]) for row in table] == [point["energy_j"] for point in data["points"]]
    assert all(point["low_j"] < point["energy_j"] < point["high_j"] for point in data["points"])


def test_a_bar_shows_how_far_it_is_on_a_terminal_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep_command, "_BAR_AFTER_S", 0)
    monkeypatch.setattr(sweeping, "_POINTS_AT_ONCE", 4)
    monkeypatch.setattr("tqdm.tqdm", partial(tqdm, mininterval=0, miniters=0))
    monkeypatch.setattr(tqdm, "monitor_interval", 0)  # no thread that stays
    assert run(TINY) == 0
    alone = capsys.readouterr()
    assert alone.err == ""
    monkeypatch.setattr(sweep_command, "stderr_is_terminal", lambda: True)
    assert run(TINY) == 0
    watched = capsys.readouterr()
    assert watched.out == alone.out
    assert re.findall(r"(\d/6) ", watched.err) == ["0/6", "4/6", "6/6"]


@pytest.mark.filterwarnings("default:Sequence length 6000 is beyond:UserWarning")
@pytest.mark.filterwarnings("default:.* is ignored:UserWarning")
def test_what_is_not_used_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sweep", "google/vit-base-patch16-224", "--seq-len", "5,6", "--decoder-seq-len", "4"]) == 0
    captured = capsys.readouterr()
    ignored = "is ignored: this model's config fixes its input."
    assert captured.err.splitlines() == [f"Warning: --decoder-seq-len 4 {ignored}", f"Warning: --seq-len 5,6 {ignored}"]
    assert "tokens" not in captured.out
    assert run(["sweep", "meta-llama/Llama-2-7b-hf", "--seq-len", "5,5000,6000"]) == 0
    beyond = "Warning: Sequence length 6000 is beyond the 4096 positions that the model was made for.\n"
    assert capsys.readouterr().err == beyond


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--batch-size", "0"], "--batch-size must be at least 1, got 0."),
        (["--batch-size", "1,two"], "--batch-size: expected numbers like 1,2,4 or a range like 64:512:64, got 'two'."),
        (["--seq-len", "64:32"], "--seq-len: the range '64:32' is empty; expected from:to:step, from the smaller."),
        (["--seq-len", "1:9:0"], "--seq-len: the range '1:9:0' is empty; expected from:to:step, from the smaller."),
        (["--seq-len", "1:200001"], LONG),
        (["--batch-size", "1:999", "--seq-len", "1:500"], MANY),
        (["--seq-len", "600"], BEYOND),
        (["--format", "yaml"], "Unknown format 'yaml'. Expected one of: csv, json, table."),
    ],
)  # fmt: skip
def test_wrong_input_exits_with_2(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    assert run(["sweep", "bert-tiny", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == f"Error: {message}\n"


def test_every_option_is_one_that_a_sweep_takes() -> None:
    # the lists, what is printed where, another unit, and what holds for the whole command
    named = {"model", "batch_size", "seq_len", "file_format", "output", "sm_clock_mhz", "tree_cache"}
    typed = set(inspect.signature(print_sweep).parameters) - named
    assert typed and typed <= set(inspect.signature(sweep).parameters)


def test_lists_and_ranges() -> None:
    assert read_numbers("seq_len", " 4, 1:3 ,2,10:21:5") == [4, 1, 2, 3, 10, 15, 20]
