"""A row, rows in a folder, and a table of another origin: what tests of datasets begin with."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyarrow import parquet

from irene.dataset.journal import RowJournal
from irene.dataset.manifest import seal_tables
from irene.dataset.schema import Row

BASE = Row(
    case="a", level="primitive", name="linear", families="bert,llama", dtype="bfloat16", execution="eager",
    method="window", duration_s=0.25, energy_j=30.0, power_w=120.0, collection="c",
)  # fmt: skip


def store(directory: Path, *rows: Row) -> Path:
    with RowJournal(directory) as journal:
        for row in rows:
            journal.append(row)
    return directory


def write_foreign(table: pa.Table, path: Path) -> None:
    """A table of another origin with digests that fit."""
    parquet.write_table(table, path)
    seal_tables(path.parent)
