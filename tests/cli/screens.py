"""What commands look like in terminals of 60, 80 and 120 columns: `python -m tests.cli.screens` writes the files anew.

One file a command, its three widths below each other. Only the first lines of what grows with irene (models, devices,
variants) are kept, so that a new entry seldom changes a file.
"""

from __future__ import annotations

import gzip
import io
import os
import shlex
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

from irene.cli.main import run

FOLDER = Path(__file__).parent / "screens"
WIDTHS = (60, 80, 120)
TREES = Path(__file__).parents[1] / "golden/trees"
"""Stored trees, so that most screens ask no library."""
SCREENS = {
    "predict": "predict bert-base.json --depth 2 --carbon-intensity 56 --price 0.25",
    "predict-deep": "predict llama-1b.json --depth 4",
    "predict-generation": "predict gpt2 --task text-generation --seq-len 16 --new-tokens 2 --depth 1",
    "explain": "explain bert-base-uncased --batch-size 8 --depth 3 --top 6",
    "compare": "compare bert-tiny bert-mini,dtype=float32 bert-small,batch-size=4 --fail-above 5%",
    "sweep": "sweep bert-tiny --batch-size 1,64 --seq-len 64:256:64",
    "bench": "bench bert-tiny bert-mini --scenario fixed_batch --instances 32 --batch-size 8 --price 0.25",
    "tree": "tree t5-small.json --depth 2",
    "models": "models",
    "devices": "devices",
    "variants": "variants",
    "help": "--help",
    "help-compare": "compare --help",
    "help-sweep": "sweep --help",
}
GROWS = {"models": 14, "devices": 14, "variants": 24}


class Terminal(io.StringIO):
    """A stream that people read."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def show(line: str, width: int) -> str:
    """What `irene <line>` writes to a terminal of so many columns, errors and warnings too."""
    screen = Terminal()
    environment = {"COLUMNS": str(width), "LINES": "50", "NO_COLOR": "1", "TERM": "xterm"}
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, environment))
        folder = stack.enter_context(TemporaryDirectory())
        for name in shlex.split(line):
            if (packed := TREES / f"{name}.gz").is_file():
                line = line.replace(name, f"{folder}/{name}")
                Path(folder, name).write_bytes(gzip.decompress(packed.read_bytes()))
        stack.enter_context(redirect_stdout(screen))
        stack.enter_context(redirect_stderr(screen))
        run(shlex.split(line))
    return screen.getvalue()


def write_screen(name: str) -> str:
    """The content of a screen's file."""
    parts = []
    for width in WIDTHS:
        lines = show(SCREENS[name], width).splitlines()
        if name in GROWS:
            lines = lines[: GROWS[name]]
        parts.append("\n".join([f"[{width} columns]", *(line.rstrip() for line in lines), ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    for each in SCREENS:
        (FOLDER / f"{each}.txt").write_text(write_screen(each), "utf-8")
