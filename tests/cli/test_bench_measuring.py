"""`irene bench --measure` from end to end: programs, files that are kept, failures, a terminated command, no GPU."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from irene.cli.main import run
from irene.errors import BadDataset
from irene.scenarios.pentathlon_files import load_pentathlon
from tests.scenarios.marked_processes import find_marked

PROGRAMS = Path(__file__).parents[1] / "scenarios" / "programs"
ANSWER = shlex.join([sys.executable, "-S", str(PROGRAMS / "answer.py")])
FEW = ["--instances", "10", "--batch-size", "5", "--lengths", "4", "--at-least", "0"]


def _misbehave(how: str, mark: str = "") -> str:
    return shlex.join([sys.executable, "-S", str(PROGRAMS / "misbehave.py"), how, "2", mark])


def test_what_is_kept_is_not_measured_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = [
        "bench",
        "--program",
        ANSWER,
        *FEW,
        "--scenario",
        "fixed_batch",
        "--scenario",
        "offline",
        "--keep",
        str(tmp_path),
    ]
    assert run([*asked, "--format", "json"]) == 0
    captured = capsys.readouterr()
    entries = json.loads(captured.out)["entries"]
    assert [entry["scenario"]["name"] for entry in entries] == ["fixed_batch", "offline"]
    assert captured.err.count("Note: energy of the gpu not measured") == 1
    kept = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(kept) == 2
    for entry, path in zip(entries, sorted(kept, key=lambda p: "offline" in p.name), strict=True):
        assert json.loads(kept[path]) == entry == load_pentathlon(path).to_json()
    assert run([*asked, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == entries
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == kept
    path = next(iter(kept))
    path.write_text(kept[path].decode().replace('"measured"', '"guessed"'))
    with pytest.raises(BadDataset, match="at source, expected one of"):
        load_pentathlon(path)


def test_one_that_fails_stops_no_other(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked = ["bench", "--program", _misbehave("dies"), "--program", ANSWER, *FEW, "--keep", str(tmp_path)]
    assert run([*asked, "--format", "json"]) == 1
    captured = capsys.readouterr()
    failed, whole = json.loads(captured.out)["entries"]
    assert failed["served_instances"] == 5 and "ended with status 3" in failed["error"] and whole["error"] == ""
    assert "What was measured until then is kept." in captured.err and len(list(tmp_path.iterdir())) == 2
    assert run(["bench", "--program", _misbehave("dies"), *FEW]) == 1
    assert "(cut short)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--program", "no-such-program"], 2, "Cannot start the program 'no-such-program': No such file or directory."),
        (["--program", "'"], 2, '--program "\'": No closing quotation.'),
        (["--measure"], 2, "irene bench needs a model"),
        (["no_such_module:function", "--measure"], 2, "Cannot find 'no_such_module:function': No module named"),
        (["bert-tiny", "--measure", "--new-lengths", "4"], 2, "generations are predicted"),
        (["bert-tiny", "--measure", "--execution", "cuda_graph"], 2, "streams are measured eager"),
        (["--program", "false"], 1, "ended with status 1, after 0 instances"),
    ],
)
def test_one_line(arguments: list[str], status: int, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["bench", *arguments, *FEW]) == status
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if not line.startswith("Note: energy")]
    assert captured.out == "" and len(lines) == 1 and message in lines[0]


def test_terminated_it_leaves_no_orphan_and_prints_what_it_has(tmp_path: Path) -> None:
    mark, hangs = f"of-test-{os.getpid()}-terminated", tmp_path / "hangs"
    program = f"{_misbehave('ignores_sigterm', mark)} {shlex.quote(str(hangs))}"
    command = [sys.executable, "-m", "irene", "bench", "--program", program, *FEW, "--format", "json"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        end_s = time.monotonic() + 120
        while not hangs.exists() and time.monotonic() < end_s:
            time.sleep(0.05)
        assert len(find_marked(mark)) == 3  # irene, the program, and its child
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=60)
    finally:
        child.kill()
        child.communicate(timeout=60)
    assert child.returncode == 130 and b"Error: interrupted" in err
    assert json.loads(out)["entries"][0]["served_instances"] == 5
    assert not find_marked(mark)
