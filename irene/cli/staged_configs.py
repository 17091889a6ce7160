"""The pre-commit hook: each config that is about to be committed against the last commit, `irene compare` with a gate.

Arguments are options of `irene compare` and then files; a file that the last commit does not have is only predicted.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from irene.cli.main import run

_DEFAULT = ("--fail-above", "5%")


def check(arguments: Sequence[str]) -> int:
    """The worst exit code of all files: 0, or 3 where one needs more joules than allowed, or what an error gives."""
    given = list(arguments)
    files = [argument for argument in given if argument.endswith(".json")]
    options = [argument for argument in given if argument not in files]
    if not any(option.split("=")[0] == "--fail-above" for option in options):
        options += _DEFAULT
    worst = 0
    for file in files:
        if _is_committed(file):
            worst = max(worst, run(["compare", f"HEAD:{file}", file, "--format", "markdown", *options]))
        else:
            print(f"{file} is new: nothing to compare it with.")
    return worst


def _is_committed(file: str) -> bool:
    found = subprocess.run(
        ["git", "cat-file", "-e", f"HEAD:./{file}"],
        capture_output=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    return found.returncode == 0


if __name__ == "__main__":
    sys.exit(check(sys.argv[1:]))
