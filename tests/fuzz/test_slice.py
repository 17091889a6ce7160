"""A short slice of the fuzz, and its judge: each way of ending badly is told from the good ones."""

import faulthandler
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.fuzz.__main__ import count
from tests.fuzz.children import Drawn, run_batch
from tests.fuzz.judging import Case, Outcome, is_one_clear_line, is_sound, judge
from tests.fuzz.programs import PROGRAMS

SOUND = {"energy_j": 3.0, "interval_j": [2.0, 4.0], "breakdown_j": {"compute": 1.0, "memory": 2.0}}
AS_JSON = ("predict", "x", "--format", "json")


def test_a_short_slice() -> None:
    command = [sys.executable, "-m", "tests.fuzz", "--inputs", "52", "--minutes", "5", "--seed", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr + done.stdout
    assert "| all | 52 |" in done.stdout


def test_what_is_one_clear_line() -> None:
    assert is_one_clear_line("Warning: a\nError: No such file: x.\n")
    for text in (
        "",
        "Error: \n",
        "odd\nError: No such file.\n",
        "Error: a\x1b[2J file is odd.\n",
        f"Error: {'x' * 2000}",
    ):
        assert not is_one_clear_line(text)


@pytest.mark.parametrize(
    ("code", "out", "error", "verdict"),
    [
        (0, "right\n", "Warning: a.\n", "answered"),
        (0, "other\n", "", "wrong"),
        (0, "right\n", "a log line of a library\n", "unclear"),
        (2, "", "Error: No such file: x.\n", "refused"),
        (2, "right\n", "Error: No such file: x.\n", "unclear"),
        (2, "", "Usage: irene\n", "unclear"),
        (1, "", "Error: Cannot write x: no space left.\n", "failed"),
        (1, "", "Error: something else.\n", "unclear"),
        (1, "", "Traceback (most recent call last)\nError: internal, a bug.\n", "traceback"),
        (-signal.SIGSEGV, "", "", "crash"),
        (-signal.SIGXCPU, "", "", "endless"),
        (None, "", "", "endless"),
    ],
)
def test_how_a_case_ended(tmp_path: Path, code: int | None, out: str, error: str, verdict: str) -> None:
    (tmp_path / "out").write_text(out)
    (tmp_path / "err").write_text(error)
    assert judge(Case("trees", 1, (), "right\n"), tmp_path, code).verdict == verdict


def _act(arguments: Sequence[str]) -> int:
    if arguments[0] == "crash":
        faulthandler.disable()  # the crash is meant: no stacks among the output of the tests
        os.kill(os.getpid(), signal.SIGSEGV)
    if arguments[0] == "sleep":
        time.sleep(60)
    if arguments[0] == "fill":
        bytearray(2**36)
    print(arguments[0])
    return 0


def test_what_ends_a_child_ends_its_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROGRAMS, "irene", _act)
    batch = []
    for number, word in enumerate(["a", "b", "crash", "a", "sleep", "a", "fill"]):
        (tmp_path / str(number)).mkdir()
        batch.append(Drawn(Case("options", number, (word,), word + "\n"), tmp_path / str(number)))
    ended = []
    while batch:
        outcomes = run_batch(batch, limit_s=5.0)
        ended.append([outcome.verdict for outcome in outcomes])
        batch = batch[len(outcomes) :]
    assert ended == [["answered", "answered", "crash"], ["answered", "endless"], ["answered", "crash"]]


@pytest.mark.parametrize("change", [{"energy_j": 5.0}, {"interval_j": [2.0, 2.5]}, {"breakdown_j": {"compute": 1.0}}])
def test_a_prediction_that_does_not_add_up_is_wrong(change: dict[str, object]) -> None:
    assert is_sound(json.dumps(SOUND), AS_JSON)
    assert not is_sound(json.dumps(SOUND | change), AS_JSON)
    assert not is_sound('{"energy_j": NaN}', AS_JSON)
    assert is_sound("a table", ("predict", "x"))
    assert is_sound("a table", (*AS_JSON, "--format", "csv"))
    assert not is_sound("a table", ("--format", "csv", *AS_JSON))


def test_outcomes_are_counted_by_kind() -> None:
    outcomes = [
        Outcome(Case("trees", i, (), right), verdict, 0, "")
        for i, (verdict, right) in enumerate((("refused", None), ("refused", "a"), ("crash", None)))
    ]
    assert "| trees | 3 | 1 | 0 | 2 | 0 | 0 | 1 | 0 | 0 | 0 |" in count(outcomes)
