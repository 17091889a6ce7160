"""What README and docs show: blocks of Markdown that can be run, and the outputs under their commands.

```python    runs as it stands, all blocks of a file one after the other
```py        Python that needs an extra: `python -m pytest -m engines` runs it
```sh        commands of irene, a line each, that need no network
```console   `$ irene ...`, and under it what it prints: `python -m tests.docs.write` writes that
"""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import textwrap
from collections.abc import Callable
from pathlib import Path

from irene.cli.main import run

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
_BLOCK = re.compile(r"^(?P<indent> *)```(?P<language>\w+)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
_PROMPT = "$ irene "


def read_blocks(page: str, language: str) -> list[str]:
    """The bodies of a page's blocks of one language, in order, without their indentation."""
    found = _BLOCK.finditer((ROOT / page).read_text("utf-8"))
    return [textwrap.dedent(block["body"]) for block in found if block["language"] == language]


def read_links(page: str) -> list[str]:
    """Where a page's links go, but for those out of the repository."""
    targets = re.findall(r"\]\(([^)#\s]*)(?:#[^)]*)?\)", (ROOT / page).read_text("utf-8"))
    return [target for target in targets if target and "://" not in target]


def fill_outputs(text: str, answer: Callable[[str], str]) -> str:
    """A page whose `console` blocks show what `answer` says of their command."""

    def fill(block: re.Match[str]) -> str:
        command = block["body"].partition("\n")[0]
        if block["language"] != "console" or not command.startswith(_PROMPT):
            return block[0]
        return f"```console\n{command}\n{answer(command.removeprefix(_PROMPT)).rstrip()}\n```"

    return _BLOCK.sub(fill, text)


def run_irene(line: str) -> str:
    """What `irene <line>` prints. Raises RuntimeError if it does not leave with status 0."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = run(shlex.split(line, comments=True))
    if status:
        raise RuntimeError(f"irene {line}: exit status {status}")
    return printed.getvalue()
