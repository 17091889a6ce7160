"""README and docs say what is so: their snippets run, their outputs are today's, their links lead somewhere."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest

from tests.docs.blocks import PAGES, ROOT, fill_outputs, read_blocks, read_links, run_irene

README_LINES = 150
_BERT = "bert-base-uncased --batch-size 2 --seq-len 16"
_OBJECTS = {
    "predict": f"predict {_BERT} --price 1",
    "predict, a generation": "predict gpt2 --task causal-lm --seq-len 8 --new-tokens 3 --cache static",
    "sweep": "sweep bert-base-uncased --batch-size 2 --seq-len 16",
    "explain": f"explain {_BERT}",
    "compare": f"compare {_BERT} gpt2",
    "bench": "bench bert-tiny --instances 8 --batch-size 4 --price 1",
}
_TABLES = (("README.md", "accuracy"), ("docs/accuracy.md", "goals"))


@pytest.mark.parametrize("page", [page for page in PAGES if read_blocks(page, "python")])
def test_python_runs(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for number, block in enumerate(read_blocks(page, "python")):
        exec(compile(block, f"{page}, block {number}", "exec"), names)


@pytest.mark.parametrize("page", [page for page in PAGES if read_blocks(page, "sh")])
def test_commands_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for line in "".join(read_blocks(page, "sh")).splitlines():
        assert line.startswith("irene "), f"{page}: a block of sh has lines 'irene ...' only: {line}"
        run_irene(line.removeprefix("irene "))


@pytest.mark.parametrize("page", [page for page in PAGES if read_blocks(page, "console")])
def test_outputs_are_todays(page: str) -> None:
    named = re.search(r"torch ([\d.]+) and transformers ([\d.]+)\.", (ROOT / "README.md").read_text("utf-8"))
    assert named, "README.md: which versions printed its outputs?"
    installed = [".".join(version(name).split(".")[:2]) for name in ("torch", "transformers")]
    if installed != list(named.groups()):
        pytest.skip(f"printed with torch and transformers {named.groups()}; here are {installed}")
    text = (ROOT / page).read_text("utf-8")
    assert fill_outputs(text, run_irene) == text, "python -m tests.docs.write writes them anew"


def test_json_page_has_every_key() -> None:
    sections = re.split(r"^## `irene (\w+)`$", (ROOT / "docs/json.md").read_text("utf-8"), flags=re.MULTILINE)
    documented = {name: _words(text) for name, text in zip(sections[1::2], sections[2::2], strict=True)}
    common = documented["predict"]  # parts that several share are described once, at the first
    for name, line in _OBJECTS.items():
        printed = _keys(json.loads(run_irene(f"{line} --format json")))
        missing = printed - documented[name.partition(",")[0]] - common
        assert not missing, f"docs/json.md, irene {name}: {sorted(missing)}"


def test_links_lead_somewhere() -> None:
    pages = [*PAGES, "CHANGELOG.md", *(str(path.relative_to(ROOT)) for path in ROOT.glob("experiments/**/README.md"))]
    broken = [
        f"{page}: {target}"
        for page in pages
        for target in read_links(page)
        if not ((ROOT / page).parent / target).exists()
    ]
    assert not broken


def test_readme_is_short_and_every_experiment_is_listed() -> None:
    assert (ROOT / "README.md").read_text("utf-8").count("\n") <= README_LINES
    listed = {target.partition("/")[0] for target in read_links("experiments/README.md")}
    assert {path.parent.name for path in ROOT.glob("experiments/*/README.md")} <= listed


@pytest.mark.parametrize(("page", "name"), _TABLES)
def test_tables_are_those_of_the_experiment(page: str, name: str) -> None:
    """Figures on these pages are those of the committed goals.csv, whose digits are four."""
    goals = pd.read_csv(ROOT / "experiments/leave-one-family-out/goals.csv").set_index("of")
    _, _, rest = (ROOT / page).read_text("utf-8").partition(f"<!-- {name}: begin -->")
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in rest.partition("<!--")[0].split("\n") if line]
    head, lines = cells[0], cells[2:]
    columns = {"mean over seeds %": "mean", "least %": "min", "most %": "max"}
    assert lines
    for line in lines:
        row = dict(zip(head, line, strict=True))
        for title, column in columns.items():
            assert float(row[title]) == pytest.approx(float(goals.loc[row["of"], column]), abs=0.051), row


def _words(text: str) -> set[str]:
    return set(re.findall(r"`(\w+)`", text))


def _keys(value: object) -> set[str]:
    if isinstance(value, list):
        return set().union(*map(_keys, value))
    if not isinstance(value, dict):
        return set()
    return set(value).union(*map(_keys, value.values()))
