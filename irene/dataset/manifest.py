"""The manifest of a collection: what all its rows share, and the digests of its tables and of itself.

    python -m irene.dataset.manifest data/h200

adds digests to the manifests at or below a folder that have none yet (collections from before there were digests).
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from irene.dataset.schema import SCHEMA_VERSION
from irene.digests import OWN, digest_bytes, digest_object
from irene.errors import BadDataset, IreneError
from irene.fields import open_fields
from irene.files import read_bytes, write_whole
from irene.quoting import quote

MANIFEST = "manifest.json"
_TABLES = "*.parquet"
_SEAL = "'python -m irene.dataset.manifest DIR' adds digests to an old collection"


def write_manifest(directory: str | Path, content: dict[str, Any]) -> Path:
    """Write `manifest.json`: what the whole collection shares (GPU, versions, idle power, ...), and digests.

    They are those of every table that is in `directory`, and its own. Raises `CannotWrite`.
    """
    folder = Path(directory)
    content = {key: value for key, value in content.items() if key != OWN} | {
        "schema_version": SCHEMA_VERSION,
        "files": {
            table.name: digest_bytes(read_bytes(table, "table", BadDataset)) for table in sorted(folder.glob(_TABLES))
        },
    }
    text = json.dumps({**content, OWN: digest_object(content)}, indent=2, sort_keys=True) + "\n"
    write_whole(folder / MANIFEST, text)
    return folder / MANIFEST


def seal_tables(directory: Path) -> None:
    """Note the digests of new tables in the manifest, which is made where there is none."""
    exists = (directory / MANIFEST).exists()
    write_manifest(directory, _read(directory / MANIFEST) if exists else {"collection": directory.resolve().name})


def read_manifest(directory: str | Path) -> dict[str, Any]:
    """The manifest of a collection.

    Raises `BadDataset` if it is missing, unreadable, newer than this version, or its digest is not that of its content.
    """
    path = Path(directory) / MANIFEST
    content = _read(path)
    if OWN not in content:
        raise BadDataset(f"{path}: no digest in it, so nobody knows whether it is whole; {_SEAL}.")
    if content[OWN] != digest_object(content):
        raise BadDataset(f"{path}: its digest is not that of its content: it was damaged or edited. Restore it.")
    return content


def read_table_bytes(path: Path) -> bytes:
    """The bytes of a table beside a manifest. Raises `BadDataset` if they are not those whose digest stands there."""
    known = read_manifest(path.parent).get("files", {})
    if path.name not in known:
        raise BadDataset(f"{path}: {MANIFEST} beside it has no digest of this table; {_SEAL}.")
    content = read_bytes(path, "table", BadDataset)
    if digest_bytes(content) != known[path.name]:
        raise BadDataset(f"{path}: its digest is not the one in {MANIFEST}: it was damaged or edited. Restore it.")
    return content


def runs_of(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of a collection; a manifest without a list of runs describes one."""
    runs: list[dict[str, Any]] = manifest.get("runs", [manifest])
    return runs


def _read(path: Path) -> dict[str, Any]:
    """The manifest without a look at digests."""
    if not path.exists():
        raise BadDataset(f"No {MANIFEST} in {path.parent}: a collection of 'irene collect' has one.")
    top = open_fields(path, "manifest", BadDataset, "Restore it from its collection.")
    version = top["schema_version"].whole(1)
    if version > SCHEMA_VERSION:
        raise BadDataset(f"{path}: schema version {version}, this irene reads up to {SCHEMA_VERSION}. Update irene.")
    if (files := top.get("files")) is not None:
        for digest in files.items().values():
            digest.text(most=64)
    if (name := top.get("collection")) is not None:
        name.text(most=200)
    for run in runs.list() if (runs := top.get("runs")) is not None else [top]:
        for key in ("date", "gpu"):
            if (text := run.get(key)) is not None:
                text.text()
        if (date := run.get("date")) is not None and not _is_date(date.value):
            date.fail("a date with its time zone, such as '2026-11-22T09:00:00+00:00'")
        for key in ("power_limit_w", "module_call_s"):
            if (number := run.get(key)) is not None and number.value is not None:
                number.number(0.0)
        if (costs := run.get("host_costs_s")) is not None:
            for cost in costs.items().values():
                cost.number(0.0)
    return dict(top.value)


def _is_date(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _seal_all(directory: Path) -> None:
    for path in sorted(directory.rglob(MANIFEST)):
        if OWN in _read(path):
            read_manifest(path.parent)
        else:
            seal_tables(path.parent)
            print(f"digests added: {quote(str(path))}", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m irene.dataset.manifest DIR")
    try:
        _seal_all(Path(sys.argv[1]))
    except IreneError as error:
        sys.exit(f"Error: {error}")
