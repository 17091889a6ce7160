"""What pages show but no test can run: commands that need a GPU or a network name real options, YAML real inputs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from irene.cli.main import app
from tests.docs.blocks import PAGES, ROOT, read_blocks

_RUN = ("python", "sh", "console")
"""Blocks of these languages are run by test_docs.py."""


def shown_commands(page: str) -> list[list[str]]:
    """The words of each line, indented or in a block without a language, that calls `irene` or Python."""
    text = (ROOT / page).read_text("utf-8")
    for block in re.findall(r"^```\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        text += "\n" + "\n".join(f"    {line}" for line in block.splitlines())
    lines = re.findall(r"^ {4}(?:.* && )?((?:irene|python) [^&\n]*)", text, re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def find_command(words: list[str]) -> tuple[Any, list[str]]:
    """The click command that `irene WORDS` calls, and what is left for it."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        name, *words = words
        assert name in command.commands, f"irene {name}: no such command"
        command = command.commands[name]
    return command, words


@pytest.mark.parametrize("page", [page for page in PAGES if shown_commands(page)])
def test_shown_commands_have_real_options_and_files(page: str) -> None:
    for program, *words in shown_commands(page):
        if program == "irene":
            command, rest = find_command(words)
            known = {name for parameter in command.params for name in parameter.opts + parameter.secondary_opts}
            used = {word.partition("=")[0] for word in rest if word.startswith("--")}
            assert used <= known | {"--help"}, (page, words)
        elif words[0].endswith(".py"):
            assert (ROOT / words[0]).is_file(), (page, words)
        elif words[0] == "-m" and words[1].partition(".")[0] in ("irene", "tests"):
            place = ROOT / words[1].replace(".", "/")
            assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), (page, words)


def test_yaml_names_inputs_and_hooks_that_there_are() -> None:
    inputs = yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))["inputs"]
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text("utf-8"))
    seen = 0
    for page in PAGES:
        for block in map(yaml.safe_load, read_blocks(page, "yaml")):
            for step in [step for job in block.get("jobs", {}).values() for step in job["steps"]]:
                if step.get("uses", "").startswith("OWNER/irene@"):
                    assert set(step["with"]) <= set(inputs)
                    seen += 1
            for hook in [hook for repo in block.get("repos", ()) for hook in repo["hooks"]]:
                assert hook["id"] in {known["id"] for known in hooks}
                seen += 1
    assert seen == 2


def test_every_block_has_a_language_that_a_test_knows() -> None:
    for page in PAGES:
        opened = re.findall(r"^ *```(\w*)", (ROOT / page).read_text("utf-8"), re.MULTILINE)[::2]
        assert set(opened) <= {*_RUN, "py", "yaml", ""}, page


def test_installs_name_extras_that_there_are() -> None:
    """`pip install '.[browser]'` on a page."""
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    extras = set(re.findall(r"^(\w+) = \[", project.partition("[project.optional-dependencies]")[2], re.MULTILINE))
    pages = [ROOT / page for page in PAGES] + list(ROOT.glob("experiments/**/README.md"))
    named = {extra for page in pages for extra in re.findall(r"\.\[(\w+)\]'", Path(page).read_text("utf-8"))}
    assert named <= extras
