"""What the command looks like from outside: exit codes, one-line errors, data on stdout alone, a quick --help."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import irene
from irene.cli import main as cli
from irene.errors import BadInput, MeterError, MeterLost, NoSpace
from tests.turns import children_s, fewest_turns

HEAVY = ("torch", "transformers", "sklearn", "xgboost", "pandas", "scipy", "networkx", "pyarrow", "numpy", "rich")
COMMANDS = (
    "predict", "explain", "compare", "sweep", "bench", "report", "gallery", "web", "tree", "models", "devices",
    "variants", "env", "collect", "calibrate", "train", "evaluate",
)  # fmt: skip


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.run(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def expect_usage_error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"Error: [^\n]+\n", err), err
    return err


@pytest.mark.parametrize("arguments", [[], *([command] for command in COMMANDS)])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from irene.cli.main import run; code = run(sys.argv[1:]); "
        f"heavy = sorted({set(HEAVY)} & set(sys.modules)); print(heavy, file=sys.stderr); sys.exit(code or bool(heavy))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "--help"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "[]\n")
    assert "Usage:" in done.stdout


def test_help_is_quick() -> None:
    command = [sys.executable, "-m", "irene.cli.main", "--help"]
    turns = fewest_turns(lambda: subprocess.run(command, check=True, capture_output=True), enough=9e6, clock=children_s)
    assert 0 < turns < 9e6  # 2.7 to 3.8 million were measured


def test_version_and_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version") == (0, f"irene {irene.__version__}\n", "")
    text = run(capsys, "--help")[1]
    assert tuple(re.findall(r"^  (\w+)  ", text, re.MULTILINE)) == COMMANDS


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["predict"], "MODEL"),
        (["predct", "x"], "No such command 'predct'"),
        (["predict", "gpt2", "--batch-size", "0"], "--batch-size must be a whole number of at least 1, got 0."),
        (["predict", "gpt2", "--batch-size", "-3"], "--batch-size must be a whole number of at least 1, got -3."),
        (["predict", "gpt2", "--batch-size", "many"], "--batch-size"),
        (["predict", "gpt2", "--seq-len", "0"], "--seq-len must be a whole number of at least 1, got 0."),
        (["predict", "gpt2", "--decoder-seq-len", "0"], "--decoder-seq-len must be a whole number of at least 1"),
        (["predict", "gpt2", "--new-tokens", "-1"], "--new-tokens must be a whole number of at least 0, got -1."),
        (["predict", "gpt2", "--depth", "-1"], "--depth must be at least 0"),
        (["predict", "gpt2", "--format", "xml"], "Unknown format 'xml'. Expected one of: csv, irene-2021, json,"),
        (["predict", "gpt2", "--format", "jsn"], "Did you mean 'json'?"),
        (["predict", "gpt2", "--device", "h20"], "Unknown device 'h20'. Did you mean 'h200'?"),
        (["predict", "gpt2", "--colour", "red"], "No such option"),
        (["tree", "gpt2", "--batch-size", "0"], "--batch-size must be a whole number of at least 1, got 0."),
        (["models", "--format", "yaml"], "Unknown format 'yaml'"),
        (["collect", "--plan", "p.toml"], "--output"),
        (["train"], "DIR"),
    ],
)
def test_wrong_usage_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], words: str) -> None:
    assert words in expect_usage_error(capsys, *arguments)


def test_a_name_that_no_file_can_have_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("evaluate", "predict", "report"):
        expect_usage_error(capsys, command, "x" * 5000)


def test_nothing_typed_shows_help(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert (code, out) == (2, "")
    assert "Commands:" in err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadInput("no\n such plan"), 2),
        (MeterError("no GPU"), 2),
        (MeterLost("the GPU is lost"), 1),
        (NoSpace("full"), 1),
    ],
)
def test_errors_of_ours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    monkeypatch.setattr("irene.measuring.collect", _raising(error))
    assert run(capsys, "collect", "--plan", "p", "--output", "o") == (
        code,
        "",
        f"Error: {' '.join(str(error).split())}\n",
    )


def test_errors_of_nobody(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("irene.measuring.collect", _raising(ZeroDivisionError("by zero")))
    code, out, err = run(capsys, "collect", "--plan", "p", "--output", "o")
    assert (code, out) == (1, "")
    assert err.splitlines()[-1].startswith("Error: internal, a bug in irene: ZeroDivisionError: by zero.")
    monkeypatch.setattr("irene.measuring.collect", _raising(KeyboardInterrupt()))
    assert run(capsys, "collect", "--plan", "p", "--output", "o")[0] == 130


def test_names_of_others_neither_fill_nor_command_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("x" * 100_000, "a\x1b]0;title\x07\x1b[2J", "\u202egnp", "--" + "o" * 100_000):
        code, out, err = run(capsys, "predict", name)
        assert (code, out) == (2, "") and len(err) < 1200
        assert err.count("\n") == 1 and err.rstrip("\n").isprintable()
    monkeypatch.setattr("irene.measuring.collect", _raising(BadInput("\x1b[31m" * 1000)))
    err = run(capsys, "collect", "--plan", "p", "--output", "o")[2]
    assert err.rstrip("\n").isprintable() and len(err) < 1200


def test_log_lines_and_warnings_of_libraries_stay_out(tmp_path: Path) -> None:
    """A config that the library comments on, with a model type that it does not know: one line all the same."""
    (tmp_path / "config.json").write_text(
        '{"model_type": "llama", "rope_parameters": {"odd": 1}, "num_hidden_layers": -1}'
    )
    done = irene_in_a_process("predict", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1 and done.stderr.startswith(b"Error: ")


def test_a_warning_of_ours_ends_nothing_where_warnings_are_errors(tmp_path: Path) -> None:
    tree = str(tmp_path / "tree.json")
    assert cli.run(["tree", "bert-tiny", "--seq-len", "8", "--format", "json", "--output", tree]) == 0
    done = irene_in_a_process("predict", tree, "--seq-len", "9", python=("-W", "error"))
    assert done.returncode == 0 and done.stdout
    assert done.stderr == b"Warning: --seq-len 9 is ignored: the saved tree was traced with 8.\n"


def irene_in_a_process(
    *arguments: str, python: tuple[str, ...] = (), **options: Any
) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, *python, "-m", "irene", *arguments]
    return subprocess.run(command, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}, check=False)


@pytest.mark.parametrize("arguments", [["models"], ["devices", "--format", "json"], ["--help"]])
def test_a_full_disk_behind_standard_output(arguments: list[str]) -> None:
    with open("/dev/full", "wb") as full:
        done = irene_in_a_process(*arguments, stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith(b"Error: Cannot write ") and b"no space left" in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_closed_streams() -> None:
    shell = f"{sys.executable} -m irene devices"
    done = subprocess.run(["sh", "-c", f"{shell} >&-"], stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2 and done.stderr == (
        b"Error: Cannot write to standard output: it is closed. Name a file with --output.\n"
    )
    done = subprocess.run(["sh", "-c", f"{shell} --format xml 2>&-"], stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (2, b"")  # errors do not turn into data
    done = subprocess.run(["sh", "-c", f"{shell} 2>/dev/full | head -1"], stdout=subprocess.PIPE, check=False)
    assert done.returncode == 0 and done.stdout.startswith(b"name")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_every_terminal_can_show_a_table(encoding: str) -> None:
    done = irene_in_a_process("devices", env={**os.environ, "PYTHONIOENCODING": encoding})
    lines = done.stdout.decode(encoding).splitlines()
    assert done.returncode == 0 and lines[0].startswith("name") and done.stderr == b""
    assert set(lines[1]) == {"─" if encoding == "utf-8" else "-"}


def test_a_file_whose_name_is_no_text(tmp_path: Path) -> None:
    output = os.fsencode(tmp_path) + b"/new/\xff.json"
    command = [sys.executable.encode(), b"-m", b"irene", b"devices", b"--format", b"json", b"--output", output]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0 and done.stdout == b"" and b"H200" in Path(os.fsdecode(output)).read_bytes()
    assert done.stderr == f"Made the folder {str(tmp_path / 'new')!r}.\n".encode()
    done = irene_in_a_process("predict", os.fsdecode(output))
    assert done.returncode == 2 and done.stderr.startswith(b"Error: ") and done.stderr.count(b"\n") == 1


def _raising(error: BaseException) -> object:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


def test_a_reader_that_leaves_is_no_error() -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; from irene.cli.main import main; sys.argv = ['irene', 'models']; main()",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_output_to_a_place_that_cannot_be(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    err = expect_usage_error(capsys, "devices", "--output", str(tmp_path / "file" / "x"))
    assert "Cannot write" in err


def test_the_installed_script_is_this_command() -> None:
    script = Path(sys.executable).with_name("irene.exe" if os.name == "nt" else "irene")
    if not script.exists():
        pytest.skip("irene is not installed here")
    assert b"irene.cli.main" in script.read_bytes()
