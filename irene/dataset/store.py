"""Measured rows on disk and in memory: journal -> parquet -> frame -> one label a case.

pandas and pyarrow are imported inside the functions: a collector that only writes a journal needs neither.
"""

from __future__ import annotations

import io
import statistics
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from irene.dataset.journal import (
    FIELD_DEFAULTS,
    REQUIRED_FIELDS,
    ROWS_JOURNAL,
    ROWS_TABLE,
    SKIP_FIELDS,
    SKIPS_JOURNAL,
    SKIPS_TABLE,
    RowJournal,
    read_journal_rows,
    read_journal_skips,
)
from irene.dataset.manifest import MANIFEST, read_manifest, read_table_bytes, runs_of, seal_tables, write_manifest
from irene.dataset.row_checks import LABELS, refuse_bad_rows, refuse_twins
from irene.dataset.schema import GPUS, ROW_FIELDS, SCHEMA_VERSION, Row
from irene.errors import BadDataset
from irene.files import write_whole

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "RowJournal",
    "has_drawn_loads",
    "label_cases",
    "load_rows",
    "of_several_gpus",
    "read_manifest",
    "write_manifest",
    "write_parquet",
]

_VERSION_KEY = b"irene_schema_version"
_MOST_ROWS = 10_000_000
_MEDIANS = (*LABELS, "gpu_utilization_pct", "memory_utilization_pct", "sm_clock_hz", "memory_clock_hz",
            "temperature_before_c", "temperature_after_c", "host_cpu_pct", "busy_experts_pct",
            "expert_load_deviation")  # fmt: skip


@cache
def row_schema() -> Any:
    """The pyarrow schema of a row, derived from the fields of `Row`; its metadata carries the schema version."""
    import pyarrow as pa

    types = {str: pa.string(), float: pa.float64(), int: pa.int64(), bool: pa.bool_()}
    columns = []
    for name, hint in get_type_hints(Row).items():
        members = get_args(hint) or (hint,)
        plain = next(m for m in members if m is not type(None))
        columns.append(pa.field(name, types.get(plain, pa.string()), nullable=type(None) in members))
    return pa.schema(columns, metadata={_VERSION_KEY: str(SCHEMA_VERSION).encode()})


def write_parquet(directory: str | Path) -> Path:
    """Write the journal in `directory` as `rows.parquet` (zstd), its skips as `skips.parquet`, and their digests.

    The journal stays: as long as it is there, it is what `load_rows` reads. Returns the path of `rows.parquet`.
    Raises `BadDataset` if there is no journal or it holds no whole row, `CannotWrite` on a full disk.
    """
    import pyarrow as pa

    directory = Path(directory)
    rows = list(read_journal_rows(directory))
    if not rows:
        raise BadDataset(f"No rows in {directory / ROWS_JOURNAL}: nothing to write as {ROWS_TABLE}.")
    _write_table(pa.Table.from_pylist(rows, schema=row_schema()), directory / ROWS_TABLE)
    if (directory / SKIPS_JOURNAL).exists():
        schema = pa.schema([pa.field(name, pa.string(), nullable=False) for name in SKIP_FIELDS])
        skips = pa.Table.from_pylist(list(read_journal_skips(directory)), schema=schema)
        _write_table(skips, directory / SKIPS_TABLE)
    seal_tables(directory)
    return directory / ROWS_TABLE


def load_rows(directory: str | Path) -> pd.DataFrame:
    """Every row of every collection at or below `directory`, one frame in the columns of `Row`.

    A collection is a folder with `rows.jsonl` or `rows.parquet`; where both are, the journal counts (it cannot be
    older). `collection` is filled with the folder's name where it is empty. Captured rows whose kernels are not
    those of eager are left out by the protocol; `frame.attrs["excluded_other_kernels"]` is their number.
    `frame.attrs["host_costs_s"]` is the host time of each op, `frame.attrs["module_call_s"]` that of a module call:
    medians over all runs of all collections; `frame.attrs["gpus"]` are their GPUs, by the names of the driver.

    Raises `BadDataset`, naming the file, for: nothing there, an unreadable file, a digest that does not fit, missing
    columns, a newer schema, a row that breaks a rule of `row_checks`, one run that stands there twice.
    """
    import pandas as pd

    root = Path(directory)
    if not root.is_dir():
        raise BadDataset(f"No directory {root}. Give one that 'irene collect' wrote, or that holds several of them.")
    folders = sorted({p.parent for name in (ROWS_JOURNAL, ROWS_TABLE) for p in root.rglob(name)})
    if not folders:
        raise BadDataset(f"No collection in {root}: expected {ROWS_TABLE} or {ROWS_JOURNAL} there or below.")
    names = [folder.resolve().name for folder in folders]
    frames = []
    for folder, name in zip(folders, names, strict=True):
        unique = name if names.count(name) == 1 else folder.relative_to(root).as_posix()
        frames.append(_load_collection(folder, unique))
    rows = pd.concat(frames, ignore_index=True)
    refuse_twins(rows, root)
    foreign = rows["kernels_as_eager"].eq(False).fillna(False).astype(bool)
    kept = rows[~foreign].reset_index(drop=True)
    kept.attrs["excluded_other_kernels"] = int(foreign.sum())
    kept.attrs |= _describe_runs(folders)
    if kept.empty:
        raise BadDataset(f"{root}: none of {len(rows)} rows counts, all were captured with other kernels than eager's.")
    return kept


def _describe_runs(folders: list[Path]) -> dict[str, Any]:
    runs: list[dict[str, Any]] = []
    for folder in folders:
        if (folder / MANIFEST).exists():
            runs += runs_of(read_manifest(folder))
    by_op: dict[str, list[float]] = {}
    for run in runs:
        for op, cost_s in run.get("host_costs_s", {}).items():
            by_op.setdefault(op, []).append(cost_s)
    calls_s = [run["module_call_s"] for run in runs if run.get("module_call_s") is not None]
    return {
        GPUS: sorted({str(run["gpu"]) for run in runs if run.get("gpu")}),
        "host_costs_s": {op: statistics.median(costs_s) for op, costs_s in sorted(by_op.items())},
        "module_call_s": statistics.median(calls_s) if calls_s else None,
    }


def label_cases(rows: pd.DataFrame, *, reference: bool = False) -> pd.DataFrame:
    """One row a (collection, case, method): medians over repeats for time, energy, power and the runtime features.

    Reference calls are kept apart: they are left out, or, with `reference=True`, they are all that is returned.
    Other columns are those of the first repeat. Added: `repeats`, and `duration_spread_pct`, `energy_spread_pct`:
    (largest - smallest) / median over repeats, NaN where there is only one.
    """
    chosen = rows[rows["reference"].astype(bool) == reference]
    keys = ["collection", "case", "method"]
    groups = chosen.sort_values("repeat", kind="stable").groupby(keys, sort=False)
    labels = groups.first()  # the first value that is not missing; text fields are the same in all repeats
    medians = groups[list(_MEDIANS)].median()
    for column in _MEDIANS:
        labels[column] = medians[column]
    labels["repeats"] = groups.size()
    for label in ("duration", "energy"):
        column = "duration_s" if label == "duration" else "energy_j"
        spread = 100.0 * (groups[column].max() - groups[column].min()) / medians[column]
        labels[f"{label}_spread_pct"] = spread.where(groups[column].count() > 1)
    added = ["repeats", "duration_spread_pct", "energy_spread_pct"]
    return labels.reset_index()[[*ROW_FIELDS, *added]]


def has_drawn_loads(rows: pd.DataFrame) -> pd.Series[bool]:
    """Which rows are replays whose experts' loads were drawn unevenly on purpose.

    Their signature is that of the same product with equal loads, and they are no repeats of it: whoever goes by
    signatures sets them apart. A threshold on `expert_load_deviation` could not tell them: where rows are fewer than
    experts, equal loads deviate too.
    """
    import pandas as pd

    if "drawn_load_deviation" not in rows:  # a frame kept from before there were such replays
        return pd.Series(False, index=rows.index)
    return rows["drawn_load_deviation"].notna()


def of_several_gpus(rows: pd.DataFrame) -> pd.Series[bool]:
    """Which rows sum several boards: whoever learns of one GPU sets them apart."""
    import pandas as pd

    if "ranks" not in rows:  # a frame kept from before there were any
        return pd.Series(False, index=rows.index)
    return rows["ranks"] > 1


def _load_collection(folder: Path, name: str) -> pd.DataFrame:
    import pyarrow as pa

    runs = runs_of(read_manifest(folder)) if (folder / MANIFEST).exists() else []
    path = folder / ROWS_JOURNAL
    try:
        if path.exists():
            table = pa.Table.from_pylist(list(read_journal_rows(folder)), schema=row_schema())
        else:
            path = folder / ROWS_TABLE
            table = _read_table(path)
    except (OSError, pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise BadDataset(f"Cannot read {path}: {reason}. Restore it, or leave this folder out.") from error
    if table.num_rows == 0:
        raise BadDataset(f"No rows in {path}. Remove this folder, or collect again.")
    refuse_bad_rows(table, path, max((run["power_limit_w"] for run in runs if run.get("power_limit_w")), default=None))
    frame = _to_frame(table)
    frame["collection"] = frame["collection"].where(frame["collection"] != "", name)
    return frame


def _read_table(path: Path) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    file = parquet.ParquetFile(pa.BufferReader(read_table_bytes(path)))
    if file.metadata.num_rows > _MOST_ROWS:
        raise BadDataset(f"{path}: {file.metadata.num_rows} rows; at most {_MOST_ROWS} are read.")
    table = file.read()
    version = int((table.schema.metadata or {}).get(_VERSION_KEY, b"0"))
    unknown = sorted(set(table.column_names) - set(ROW_FIELDS))
    if version > SCHEMA_VERSION or unknown:
        extra = f" with columns {', '.join(unknown)}" if unknown else ""
        raise BadDataset(f"{path}: schema version {version}{extra}; this irene reads {SCHEMA_VERSION}. Update irene.")
    missing = [name for name in REQUIRED_FIELDS if name not in table.column_names]
    if missing:
        raise BadDataset(f"{path}: columns missing: {', '.join(missing)}. Write it again from its journal.")
    for name in ROW_FIELDS:
        if name not in table.column_names:
            field = row_schema().field(name)
            table = table.append_column(field, pa.array([FIELD_DEFAULTS[name]] * table.num_rows, field.type))
    return table.select(list(ROW_FIELDS)).cast(row_schema())


def _to_frame(table: Any) -> pd.DataFrame:
    """To pandas, where integers and booleans that may be missing stay what they are (not floats, not objects)."""
    frame: pd.DataFrame = table.to_pandas(integer_object_nulls=True)
    for field in table.schema:
        if field.nullable and str(field.type) == "int64":
            frame[field.name] = frame[field.name].astype("Int64")
        elif field.nullable and str(field.type) == "bool":
            frame[field.name] = frame[field.name].astype("boolean")
    return frame


def _write_table(table: Any, path: Path) -> None:
    from pyarrow import parquet

    buffer = io.BytesIO()
    parquet.write_table(table, buffer, compression="zstd")
    write_whole(path, buffer.getvalue())
