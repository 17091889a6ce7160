"""Golden screens at 60, 80 and 120 columns: as written, nothing cut, no colours; and what every help has."""

from __future__ import annotations

import re
import shlex
from functools import cache
from importlib.metadata import version
from pathlib import Path

import pytest
import typer

from irene.cli.examples import EXAMPLES
from irene.cli.main import app, run
from irene.reporting.fitting import FittingTable, Line
from irene.reporting.rendering import new_table, render
from tests.cli.screens import FOLDER, SCREENS, WIDTHS, show, write_screen

README = Path(__file__).parents[2] / "README.md"
COMMANDS = [
    *(name for name in EXAMPLES if not name.startswith("irene-2021")),
    *(name for name in EXAMPLES if name.startswith("irene-2021")),
]


@pytest.mark.parametrize("name", SCREENS)
def test_screen_is_as_written_but_for_its_numbers(name: str) -> None:
    """Words, columns and their order; joules have golden files of their own, and move with what is learned."""
    named = re.search(r"torch ([\d.]+) and transformers ([\d.]+)\.", README.read_text("utf-8"))
    assert named
    if [".".join(version(library).split(".")[:2]) for library in ("torch", "transformers")] != list(named.groups()):
        pytest.skip(f"written with torch and transformers {named.groups()}")
    written = (FOLDER / f"{name}.txt").read_text("utf-8")
    assert without_numbers(written_now(name)) == without_numbers(written), "python -m tests.cli.screens writes it"


@pytest.mark.parametrize("name", SCREENS)
def test_no_line_of_a_screen_is_cut_or_too_long(name: str) -> None:
    text = written_now(name)
    assert "…" not in text and "\x1b" not in text
    parts = re.split(r"^\[(\d+) columns\]\n", text, flags=re.MULTILINE)[1:]
    assert [int(width) for width in parts[::2]] == list(WIDTHS)
    for width, screen in zip(parts[::2], parts[1::2], strict=True):
        for line in screen.splitlines():
            # An example is to be copied, and stderr has a line an error.
            if not line.startswith(("    irene ", "--fail-above ")):
                assert len(line) <= int(width), line
        for rule in re.finditer(r"^─+$", screen, re.MULTILINE):
            assert screen[: rule.start()].rstrip("\n").rpartition("\n")[2].strip(), "a table without heads"


@cache
def written_now(name: str) -> str:
    return write_screen(name)


def without_numbers(text: str) -> str:
    numbers = re.sub(r"[-+]?\d[\d,.]*( [munkMGTP]?(?=[JWsB]\b|FLOP))?", "#", text)
    return re.sub(r" +|─+", lambda match: match[0][0], numbers)


def test_there_is_a_screen_of_every_file() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(SCREENS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_has_examples_that_its_options_know(command: str) -> None:
    lines = [show(f"{command} {flag}", 200) for flag in ("-h", "--help")]
    assert lines[0] == lines[1] and "Example" in lines[0]
    known = set(re.findall(r"--[\w-]+", lines[0]))
    for example in EXAMPLES[command]:
        words = shlex.split(example)
        assert f"\n    {example}\n" in f"{lines[0]}\n" and " ".join(words[1:]).startswith(command)
        assert {word for word in words if word.startswith("--")} <= known


def test_every_command_has_an_example_and_shows_defaults_alike() -> None:
    group = typer.main.get_command(app)
    names = set(group.commands)  # type: ignore[attr-defined]
    assert names - {"irene-2021"} == {name for name in EXAMPLES if " " not in name}
    for name in names:
        assert "[default: (" not in show(f"{name} --help", 200)


def test_completion_knows_models(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("_IRENE_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "irene predict bert-t")
    monkeypatch.setenv("COMP_CWORD", "2")
    monkeypatch.setattr("sys.argv", ["irene"])
    with pytest.raises(SystemExit):
        run()
    assert capsys.readouterr().out.split() == ["bert-tiny"]


@pytest.mark.parametrize(
    ("hub", "ours"), [("text-classification", "sequence-classification"), ("fill-mask", "masked-lm")]
)
def test_tasks_by_the_names_of_the_hub(capsys: pytest.CaptureFixture[str], hub: str, ours: str) -> None:
    assert run(["tree", "bert-tiny", "--task", hub, "--depth", "0", "--seq-len", "8"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert run(["tree", "bert-tiny", "--task", ours, "--depth", "0", "--seq-len", "8"]) == 0
    assert captured.out == capsys.readouterr().out and f", {ours} " in captured.out


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    table = new_table("energy", first="node")
    table.add_row("layer", "1 J")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[" in render(table, to_terminal=True) and "\x1b[" not in render(table)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in render(table, to_terminal=True)


def test_a_table_leaves_out_what_gives_way_first_and_keeps_numbers_whole() -> None:
    table = FittingTable(["b", "a"])
    for name in ("where", "a", "b", "c"):
        table.add_column(name, no_wrap=True)
    table.add_row("x" * 10, "1" * 8, "2" * 8, "3" * 8)
    assert [[column.header for column in table.fitted(width).columns] for width in (43, 42, 32, 31, 5)] == [
        ["where", "a", "b", "c"], ["where", "a", "c"], ["where", "a", "c"], ["where", "c"], ["where", "c"],
    ]  # fmt: skip
    assert len(table.columns) == 4


def test_a_long_line_goes_on_under_its_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "24")
    monkeypatch.setenv("NO_COLOR", "1")
    assert render(Line("note       one two three \x1b[2J", 11), to_terminal=True).splitlines() == [
        "note       one two three", "           \\x1b[2J",
    ]  # fmt: skip
