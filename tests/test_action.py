"""The GitHub Action's own shell steps, and the pre-commit hook, on a small repository made here.

The steps run as a runner runs them. The program `irene` that they start hands its arguments to this process, which has
the libraries loaded; what it prints and its exit code are those of the command.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import socketserver
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from irene.cli import main as cli
from irene.cli import staged_configs
from irene.cli.revisions import names_revision, read_revision
from irene.errors import BadConfig

ROOT = Path(__file__).parents[1]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
CONFIG: dict[str, Any] = {
    "model_type": "bert", "hidden_size": 64, "num_attention_heads": 2, "intermediate_size": 128, "vocab_size": 500,
}  # fmt: skip
# A GitHub of one file: GET finds what the jq program of the step would, POST adds, PATCH replaces.
FAKE_GH = """
import json, os, sys
arguments = sys.argv[1:]
store = os.environ["FAKE_COMMENTS"]
comments = json.load(open(store)) if os.path.exists(store) else {}
bodies = [a.removeprefix("body=@") for a in arguments if a.startswith("body=@")]
if "POST" in arguments:
    comments[str(len(comments) + 1)] = open(bodies[0]).read()
elif "PATCH" in arguments:
    number = [a for a in arguments if "comments/" in a][0].rpartition("/")[2]
    assert number in comments
    comments[number] = open(bodies[0]).read()
else:
    mark = os.environ["MARK"]
    print("\\n".join(n for n, b in comments.items() if b.startswith("<!-- irene compare -->") and mark in b))
json.dump(comments, open(store, "w"))
"""
# The command's arguments and folder go to `Answer`; what it printed and its exit code come back.
FAKE_IRENE = """
import json, os, socket, sys
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect(sys.argv[1])
    asked.sendall(json.dumps([os.getcwd(), sys.argv[2:]]).encode() + b"\\n")
    code, out, err = json.loads(asked.makefile("rb").readline())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
"""


class Answer(socketserver.StreamRequestHandler):
    """One call of the program `irene`, run in this process: in the caller's folder, with streams of its own."""

    def handle(self) -> None:
        folder, arguments = json.loads(self.rfile.readline())
        before, out, err = os.getcwd(), io.StringIO(), io.StringIO()
        os.chdir(folder)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                code = cli.run(arguments)
        finally:
            os.chdir(before)
        self.wfile.write(json.dumps([code, out.getvalue(), err.getvalue()]).encode() + b"\n")


def git(where: Path, *arguments: str) -> None:
    settings = ("user.name=Test", "user.email=test@example.org", "init.defaultBranch=main", "commit.gpgsign=false")
    subprocess.run(
        ["git", *(word for setting in settings for word in ("-c", setting)), *arguments],
        cwd=where,
        check=True,
        capture_output=True,
        timeout=60,
    )


def write_config(where: Path, layers: int) -> None:
    (where / "model").mkdir(exist_ok=True)
    (where / "model/config.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": layers}))


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A checkout whose `origin` has a main branch with a model of 50 layers, and programs `irene` and `gh`."""
    place = tmp_path_factory.mktemp("action")
    origin, checkout, programs = place / "origin", place / "checkout", place / "bin"
    for folder in (origin, programs):
        folder.mkdir()
    git(origin, "init", "-q")
    write_config(origin, 50)
    git(origin, "add", ".")
    git(origin, "commit", "-q", "-m", "Begin")
    git(place, "clone", "-q", str(origin), str(checkout))
    python = shlex.quote(sys.executable)
    with tempfile.TemporaryDirectory() as folder:  # a socket's name must be short
        socket = f"{folder}/irene"
        for name, code, given in (("irene", FAKE_IRENE, shlex.quote(socket)), ("gh", FAKE_GH, "")):
            (programs / f"{name}.py").write_text(code)
            line = f"{python} -S {shlex.quote(str(programs / name))}.py {given}"
            (programs / name).write_text(f'#!/bin/sh\nexec {line} "$@"\n')
            (programs / name).chmod(0o755)
        with socketserver.UnixStreamServer(socket, Answer) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield checkout
            server.shutdown()


def act(checkout: Path, step: str, **inputs: str) -> subprocess.CompletedProcess[str]:
    """One step as a runner starts it: `bash -eo pipefail`, and an environment from inputs."""
    place = checkout.parent
    environment = os.environ | {
        "PATH": f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}", "RUNNER_TEMP": str(place),
        "GITHUB_OUTPUT": str(place / "output"), "GITHUB_STEP_SUMMARY": str(place / "summary"),
        "GITHUB_REPOSITORY": "someone/something", "FAKE_COMMENTS": str(place / "comments.json"),
    }  # fmt: skip
    assert set(inputs) == set(STEPS[step]["env"]), "the step's environment is all that it knows of the inputs"
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", STEPS[step]["run"]]
    return subprocess.run(
        command, cwd=checkout, env=environment | inputs, capture_output=True, text=True, timeout=200, check=False
    )


def act_all(checkout: Path, config: str = "model/config.json") -> tuple[str, int, list[str]]:
    """Compare, comment and gate, as a pull request does: the status, the exit code of the gate, the comments."""
    (checkout.parent / "output").unlink(missing_ok=True)
    inputs = {"CONFIG": config, "BASE": "main", "OPTIONS": "--seq-len 16", "FAIL_ABOVE": "5%"}
    compared = act(checkout, "Compare", **inputs)
    assert compared.returncode == 0, compared.stderr
    status = (checkout.parent / "output").read_text().strip().removeprefix("status=")
    commented = act(checkout, "Comment", CONFIG=config, GH_TOKEN="", PULL="7")
    assert (commented.returncode, commented.stdout) == (0, ""), commented
    comments = list(json.loads((checkout.parent / "comments.json").read_text()).values())
    return status, act(checkout, "Gate", STATUS=status).returncode, comments


def test_a_rise_of_six_per_cent_fails_and_of_four_passes_in_one_comment(repository: Path) -> None:
    write_config(repository, 53)
    status, code, comments = act_all(repository)
    assert (status, code, len(comments)) == ("failed", 3, 1)
    assert 1.055 < read_ratio(comments[0]) < 1.065 and "**Failed** `--fail-above 5%`" in comments[0]
    write_config(repository, 52)
    status, code, comments = act_all(repository)
    assert (status, code, len(comments)) == ("passed", 0, 1)
    assert 1.035 < read_ratio(comments[0]) < 1.045 and "**Passed**" in comments[0]
    (repository / "new.json").write_text(json.dumps(CONFIG | {"num_hidden_layers": 1}))
    status, code, comments = act_all(repository, "new.json")
    assert (status, code, len(comments)) == ("new", 0, 2) and "Predicted energy of" in comments[1]


def test_a_config_that_cannot_be_read_is_an_error_and_no_gate(repository: Path) -> None:
    (repository / "model/config.json").write_text("{")
    done = act(repository, "Compare", CONFIG="model/config.json", BASE="main", OPTIONS="--seq-len 16", FAIL_ABOVE="5%")
    assert done.returncode == 2 and "Error: " in done.stderr


def test_shell_lines_hold_no_expressions() -> None:
    """What an input holds is never pasted into a shell line: it comes by the environment."""
    for name, step in STEPS.items():
        assert "${{" not in step["run"], name
    used = set(re.findall(r"inputs\.([\w-]+)", json.dumps(ACTION["runs"])))
    assert used == set(ACTION["inputs"])


def test_the_hook_holds_staged_configs_against_the_last_commit(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    assert hook["entry"] == f"python -m {staged_configs.__name__}"
    assert re.search(hook["files"], "model/config.json") and not re.search(hook["files"], "tokenizer_config.json")
    monkeypatch.chdir(repository)
    for layers, code in ((53, 3), (52, 0)):
        write_config(repository, layers)
        assert staged_configs.check(["--seq-len=16", "model/config.json", "other.json"]) == code
        captured = capsys.readouterr()
        assert "other.json is new" in captured.out and "| model/config.json |" in captured.out
        assert f"--fail-above 5% {'failed' if code else 'passed'}: model/config.json needs" in captured.err
    assert staged_configs.check(["--seq-len=16", "--fail-above", "3%", "model/config.json"]) == 3


@pytest.mark.parametrize("model", ["main:nothing.json", "nothing:model/config.json"])
def test_a_revision_that_git_does_not_have_is_one_line(
    repository: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.chdir(repository)
    assert names_revision(model)
    with pytest.raises(BadConfig, match="git has no such file"):
        read_revision(model)


def test_what_names_a_revision() -> None:
    for text in ("--upload-pack=x:config.json", "bert-tiny+set:a.json", "org/model", "C:/config.json", "a:b:c.json"):
        assert not names_revision(text), text


def read_ratio(comment: str) -> float:
    found = re.search(r"needs x ([\d.]+) the joules", comment)
    assert found
    return float(found[1])
