"""Note in the rows of a collection whether a captured case runs the kernels of eager; those that do not are no data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from irene.dataset.journal import ROWS_JOURNAL, read_journal_rows, write_journal


def write_kernel_checks(directory: Path, same_by_case: Mapping[str, bool]) -> None:
    """Set `kernels_as_eager` in every row of the named cases; the journal is replaced in one step."""
    rows = list(read_journal_rows(directory))
    for row in rows:
        if row["case"] in same_by_case:
            row["kernels_as_eager"] = same_by_case[row["case"]]
    write_journal(directory / ROWS_JOURNAL, rows)
