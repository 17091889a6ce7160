"""The append-only journal of a collection: every finished row survives a kill, a full disk and a restart.

Written with plain `os.write`, one line of JSON a row, so that a measuring process needs neither pandas nor pyarrow.
Each line ends with a digest of itself; lines that have none (of an earlier version) are read too.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, get_args, get_type_hints

from irene.dataset.manifest import read_table_bytes
from irene.dataset.row_checks import flaw_of_row
from irene.dataset.schema import ROW_FIELDS, SCHEMA_VERSION, Row
from irene.errors import BadDataset, NoMeasurement
from irene.fields import Field
from irene.files import cannot_write, parse_json, read_bytes, write_whole
from irene.quoting import quote

ROWS_JOURNAL = "rows.jsonl"
SKIPS_JOURNAL = "skips.jsonl"
ROWS_TABLE = "rows.parquet"
SKIPS_TABLE = "skips.parquet"
SKIP_FIELDS = ("case", "reason")
REQUIRED_FIELDS = tuple(f.name for f in fields(Row) if f.default is MISSING)
FIELD_DEFAULTS = {f.name: f.default for f in fields(Row) if f.default is not MISSING}
_DIGEST = re.compile(rb',"digest":"([0-9a-f]{16})"}\Z')
_KEPT = "Every finished row is kept."


class RowJournal:
    """Appends rows to `rows.jsonl` and skipped cases to `skips.jsonl` below `directory`, made if missing.

    Opening it again goes on where it stopped: a last line torn by a kill is cut off, `finished()` and `skipped()`
    say what need not be done again. A directory that holds only the parquet files of an earlier collection is
    continued too. One process at a time. Rows above `power_cap_w`, the board's, are refused.

    Raises `CannotWrite` if the directory cannot be written, `BadDataset` if what it holds is no journal.
    """

    def __init__(self, directory: str | Path, power_cap_w: float | None = None) -> None:
        self.directory = Path(directory)
        self._power_cap_w = power_cap_w
        rows, skips = self.directory / ROWS_JOURNAL, self.directory / SKIPS_JOURNAL
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            _restore_from_parquet(self.directory)
            for path in (rows, skips):
                _cut_torn_line(path)
            self._finished = {(row["case"], row["repeat"], row["method"]) for row in read_journal_rows(self.directory)}
            self._skipped = {skip["case"]: skip["reason"] for skip in read_journal_skips(self.directory)}
            self._rows, self._skips = _Appender(rows), _Appender(skips)
        except OSError as error:
            raise cannot_write(self.directory, error, _KEPT) from error

    def append(self, row: Row) -> None:
        """Write one row; when this returns, a kill of the process cannot lose it.

        Raises `NoMeasurement` for a row that must not become data (no positive finite time or energy), and
        `CannotWrite` on a full disk; the rows already there stay as they are in both cases.
        """
        data = row.to_dict()
        flaw = flaw_of_row(data, self._power_cap_w)
        if flaw:
            raise NoMeasurement(f"Case {row.case!r}, repeat {row.repeat}: {flaw}. The row was not stored.")
        self._rows.write(data)
        self._finished.add((row.case, row.repeat, row.method))

    def append_skip(self, case: str, reason: str) -> None:
        """Record that a case was not measured, and why."""
        self._skips.write({"case": case, "reason": reason})
        self._skipped[case] = reason

    def finished(self) -> set[tuple[str, int, str]]:
        """(case, repeat, method) of every row in the journal."""
        return set(self._finished)

    def skipped(self) -> dict[str, str]:
        """Skipped cases with the (last) reason."""
        return dict(self._skipped)

    def close(self) -> None:
        self._rows.close()
        self._skips.close()

    def __enter__(self) -> RowJournal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Appender:
    """A file that grows by whole lines: a line that does not fit is taken back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def write(self, data: dict[str, Any]) -> None:
        if self._descriptor is None:
            raise ValueError(f"{self.path} is closed")
        line = encode_line(data)
        before = os.fstat(self._descriptor).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except BaseException as error:  # Ctrl-C between two partial writes must not leave half a line either
            os.ftruncate(self._descriptor, before)
            if isinstance(error, OSError):
                raise cannot_write(self.path, error, _KEPT) from error
            raise

    def close(self) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.fsync(descriptor)
        except OSError as error:  # some file systems find out about a full disk only here
            raise cannot_write(self.path, error, _KEPT) from error
        finally:
            os.close(descriptor)


def encode_line(data: Mapping[str, Any]) -> bytes:
    """One line of a journal: the JSON of `data` with a digest of it as its last key."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).encode()
    return text[:-1] + f',"digest":"{_digest(text)}"}}\n'.encode()


def write_journal(path: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Write a whole journal, or leave the old one. Raises `CannotWrite`."""
    write_whole(path, b"".join(map(encode_line, records)))


def read_journal_rows(directory: Path) -> Iterator[dict[str, Any]]:
    """The whole rows of a journal, missing optional fields filled with their defaults; nothing is changed on disk."""
    path = directory / ROWS_JOURNAL
    hints = get_type_hints(Row)
    for number, data in _read_lines(path):
        unknown = sorted(data.keys() - set(ROW_FIELDS))
        if unknown:
            raise BadDataset(
                f"{path}, line {number}: unknown fields {', '.join(map(quote, unknown))}; this irene knows schema "
                f"{SCHEMA_VERSION}. Update irene to read rows of a newer one."
            )
        missing = [name for name in REQUIRED_FIELDS if name not in data]
        if missing:
            raise BadDataset(f"{path}, line {number}: fields missing: {', '.join(missing)}. Remove or repair it.")
        for name, value in data.items():
            if type(value) not in _types_of(hints[name]):
                Field(value, f"{path}, line {number}", BadDataset, "", name, Field(data, "")).fail(str(hints[name]))
        yield {**FIELD_DEFAULTS, **data}


def read_journal_skips(directory: Path) -> Iterator[dict[str, str]]:
    """The skipped cases of a journal: dicts of `case` and `reason`."""
    path = directory / SKIPS_JOURNAL
    for number, data in _read_lines(path):
        top = Field(data, f"{path}, line {number}", BadDataset)
        yield {key: value.text() for key, value in top.keys(SKIP_FIELDS).items().items()}


@cache
def _types_of(hint: Any) -> frozenset[type]:
    """The types of JSON values that a field takes: whole numbers where any number may stand."""
    members = get_args(hint) or (hint,)
    plain = {str if isinstance(member, str) or not isinstance(member, type) else member for member in members}
    return frozenset(plain | ({int} if float in plain else set()))


def _read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of every whole line; a last line without its end is a torn one and is left out."""
    if not path.exists():
        return
    for number, line in enumerate(io.BytesIO(read_bytes(path, "journal", BadDataset)), start=1):
        if not line.endswith(b"\n"):
            if _is_whole(line):
                raise BadDataset(f"{path}, line {number}: its end is damaged. Restore the file.")
            return
        yield number, _parse_line(line[:-1], f"{path}, line {number}")


def _parse_line(line: bytes, where: str) -> dict[str, Any]:
    digest = _DIGEST.search(line)
    if digest is not None:
        line = line[: digest.start()] + b"}"
        if _digest(line) != digest[1].decode():
            raise BadDataset(f"{where}: its digest is not that of its content: it was damaged or edited. Remove it.")
    data = parse_json(line, where, BadDataset)
    if not isinstance(data, dict):
        raise BadDataset(f"{where}: expected an object, got {type(data).__name__}. Remove or repair it.")
    return data


def _is_whole(line: bytes) -> bool:
    """Whether a line without an end is nevertheless no torn one: only the byte of its end was changed."""
    digest = _DIGEST.search(line[:-1])
    return digest is not None and _digest(line[: digest.start()] + b"}") == digest[1].decode()


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()[:16]


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    whole_bytes = 0
    for line in io.BytesIO(read_bytes(path, "journal", BadDataset)):
        if not line.endswith(b"\n") and _is_whole(line):
            raise BadDataset(f"{path}: the end of its last line is damaged. Restore the file.")
        whole_bytes += len(line) if line.endswith(b"\n") else 0
    if whole_bytes < path.stat().st_size:
        os.truncate(path, whole_bytes)


def _restore_from_parquet(directory: Path) -> None:
    """A collection of which only the tables were kept becomes a journal again, so that it can be continued."""
    for table, journal in ((ROWS_TABLE, ROWS_JOURNAL), (SKIPS_TABLE, SKIPS_JOURNAL)):
        if (directory / journal).exists() or not (directory / table).exists():
            continue
        content = read_table_bytes(directory / table)
        import pyarrow  # only here: a fresh collection must not need it
        from pyarrow import parquet

        try:
            records = parquet.ParquetFile(pyarrow.BufferReader(content)).read().to_pylist()
        except (OSError, ValueError) as error:  # pyarrow's own errors are ValueErrors
            raise BadDataset(f"Cannot continue {directory}: {table} is unreadable ({error}). Restore it.") from error
        write_journal(directory / journal, records)
