"""The append-only journal of a collection: every finished row survives a kill, a full disk and a restart.

Written with plain `os.write`, one line of JSON a row, so that a measuring process needs neither pandas nor pyarrow.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from dataclasses import MISSING, fields
from pathlib import Path
from types import TracebackType
from typing import Any

from irene.dataset.schema import ROW_FIELDS, SCHEMA_VERSION, Row
from irene.errors import BadDataset, BadInput, NoMeasurement

ROWS_JOURNAL = "rows.jsonl"
SKIPS_JOURNAL = "skips.jsonl"
ROWS_TABLE = "rows.parquet"
SKIPS_TABLE = "skips.parquet"
MANIFEST = "manifest.json"
SKIP_FIELDS = ("case", "reason")
REQUIRED_FIELDS = tuple(f.name for f in fields(Row) if f.default is MISSING)
FIELD_DEFAULTS = {f.name: f.default for f in fields(Row) if f.default is not MISSING}
_POSITIVE = ("duration_s", "energy_j", "power_w")


class CannotWrite(BadInput):
    """The output directory refuses more bytes (full, read-only, ...); what is already written is whole."""


class RowJournal:
    """Appends rows to `rows.jsonl` and skipped cases to `skips.jsonl` below `directory`, made if missing.

    Opening it again goes on where it stopped: a last line torn by a kill is cut off, `finished()` and `skipped()`
    say what need not be done again. A directory that holds only the parquet files of an earlier collection is
    continued too. One process at a time.

    Raises `CannotWrite` if the directory cannot be written, `BadDataset` if what it holds is no journal.
    """

    def __init__(self, directory: str | Path) -> None:
        self.directory = Path(directory)
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
            raise _cannot_write(self.directory, error) from error

    def append(self, row: Row) -> None:
        """Write one row; when this returns, a kill of the process cannot lose it.

        Raises `NoMeasurement` for a row that must not become data (no positive finite time or energy), and
        `CannotWrite` on a full disk; the rows already there stay as they are in both cases.
        """
        data = row.to_dict()
        flaw = _flaw_of(data)
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
        line = json.dumps(data, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        before = os.fstat(self._descriptor).st_size
        try:
            written = 0
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except BaseException as error:  # Ctrl-C between two partial writes must not leave half a line either
            os.ftruncate(self._descriptor, before)
            if isinstance(error, OSError):
                raise _cannot_write(self.path, error) from error
            raise

    def close(self) -> None:
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.fsync(descriptor)
        except OSError as error:  # some file systems find out about a full disk only here
            raise _cannot_write(self.path, error) from error
        finally:
            os.close(descriptor)


def read_journal_rows(directory: Path) -> Iterator[dict[str, Any]]:
    """The whole rows of a journal, missing optional fields filled with their defaults; nothing is changed on disk."""
    path = directory / ROWS_JOURNAL
    for number, data in _read_lines(path):
        unknown = sorted(data.keys() - set(ROW_FIELDS))
        if unknown:
            raise BadDataset(
                f"{path}, line {number}: unknown fields {', '.join(unknown)}; this irene knows schema "
                f"{SCHEMA_VERSION}. Update irene to read rows of a newer one."
            )
        missing = [name for name in REQUIRED_FIELDS if name not in data]
        if missing:
            raise BadDataset(f"{path}, line {number}: fields missing: {', '.join(missing)}. Remove or repair it.")
        yield {**FIELD_DEFAULTS, **data}


def read_journal_skips(directory: Path) -> Iterator[dict[str, str]]:
    """The skipped cases of a journal: dicts of `case` and `reason`."""
    path = directory / SKIPS_JOURNAL
    for number, data in _read_lines(path):
        if set(data) != set(SKIP_FIELDS):
            raise BadDataset(f"{path}, line {number}: expected fields {SKIP_FIELDS}, got {sorted(data)}.")
        yield data


def write_manifest(directory: str | Path, content: dict[str, Any]) -> Path:
    """Write `manifest.json` (what the whole collection shares: GPU, versions, idle power, ...), in one step."""
    path = Path(directory) / MANIFEST
    text = json.dumps({**content, "schema_version": SCHEMA_VERSION}, indent=2, sort_keys=True) + "\n"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, text.encode())
    except OSError as error:
        raise _cannot_write(path, error) from error
    return path


def read_manifest(directory: str | Path) -> dict[str, Any]:
    """The manifest of a collection. Raises `BadDataset` if it is missing, unreadable or newer than this version."""
    path = Path(directory) / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BadDataset(f"No {MANIFEST} in {directory}: a collection of 'irene collect' has one.") from None
    except (OSError, ValueError) as error:
        raise BadDataset(f"Cannot read {path}: {error}. Restore it from its collection.") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if not isinstance(version, int) or isinstance(version, bool):
        raise BadDataset(f"{path}: expected an object with an integer schema_version, got {version!r}.")
    if version > SCHEMA_VERSION:
        raise BadDataset(f"{path}: schema version {version}, this irene reads up to {SCHEMA_VERSION}. Update irene.")
    return dict(content)


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a kill leaves the old one or the new one, never half of it."""
    beside = path.with_name(path.name + ".tmp")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _flaw_of(data: dict[str, Any]) -> str:
    for name, value in data.items():
        if isinstance(value, float) and not (-float("inf") < value < float("inf")):
            return f"{name} is {value}, expected a finite number or None"
        if name in _POSITIVE and value is not None and value <= 0:
            return f"{name} is {value}, expected more than 0"
    return "" if data["duration_s"] is not None else "duration_s is None, expected a number"


def _read_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of every whole line; a last line without its end is a torn one and is left out."""
    if not path.exists():
        return
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    return
                data = json.loads(line)
                if not isinstance(data, dict):
                    raise ValueError(f"expected an object, got {type(data).__name__}")
                yield number, data
    except OSError as error:
        raise BadDataset(f"Cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise BadDataset(f"{path}, line {number}: no JSON ({error}). Remove or repair that line.") from error


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    whole_bytes = 0
    with path.open("rb") as lines:
        for line in lines:
            whole_bytes += len(line) if line.endswith(b"\n") else 0
    if whole_bytes < path.stat().st_size:
        os.truncate(path, whole_bytes)


def _restore_from_parquet(directory: Path) -> None:
    """A collection of which only the tables were kept becomes a journal again, so that it can be continued."""
    for table, journal in ((ROWS_TABLE, ROWS_JOURNAL), (SKIPS_TABLE, SKIPS_JOURNAL)):
        if (directory / journal).exists() or not (directory / table).exists():
            continue
        from pyarrow import parquet  # only here: a fresh collection must not need it

        try:
            records = parquet.ParquetFile(directory / table).read().to_pylist()
        except ValueError as error:  # pyarrow's own errors are ValueErrors
            raise BadDataset(f"Cannot continue {directory}: {table} is unreadable ({error}). Restore it.") from error
        text = "".join(json.dumps(record, separators=(",", ":")) + "\n" for record in records)
        replace_file(directory / journal, text.encode())


def _cannot_write(path: Path, error: OSError) -> CannotWrite:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        why = "no space left. Every finished row is kept: free some space and start again."
    else:
        why = f"{error.strerror or error}. Choose another output directory; finished rows are kept."
    return CannotWrite(f"Cannot write {path}: {why}")
