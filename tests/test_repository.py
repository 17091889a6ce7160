"""What is tracked travels whole to a machine with a GPU, and into every clone: it stays small."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from irene.version import __version__

ROOT = Path(__file__).parents[1]
MOST_BYTES = 40 * 2**20
MOST_BYTES_OF_A_FILE = 4 * 2**20


def test_tracked_files_stay_small() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode or not listed.stdout:
        pytest.skip("this is no checkout: nothing says which files are tracked")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    sizes = {path: path.lstat().st_size for path in files if path.is_file() or path.is_symlink()}
    large = [f"{path.relative_to(ROOT)}: {size / 2**20:.1f} MiB" for path, size in sizes.items()
             if size > MOST_BYTES_OF_A_FILE]  # fmt: skip
    assert not large
    assert sum(sizes.values()) <= MOST_BYTES, f"{sum(sizes.values()) / 2**20:.1f} MiB are tracked"


def test_changes_begin_with_this_version() -> None:
    headings = [line for line in (ROOT / "CHANGELOG.md").read_text("utf-8").splitlines() if line.startswith("## ")]
    assert headings[0].split()[1] == __version__
