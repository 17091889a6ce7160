"""Rows that cannot be so are refused by name: impossible numbers, power above the cap, one run twice."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from irene.dataset.store import load_rows, row_schema, write_manifest
from irene.errors import BadDataset
from tests.dataset.made_rows import BASE, store, write_foreign


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("energy_j", 0.0, "energy_j is 0.0, expected more than 0"),
        ("energy_j", math.nan, "energy_j is nan, expected a finite"),
        ("duration_s", math.inf, "duration_s is inf"),
        ("energy_j", 30.001, "energy_j is 30.001, but power_w x duration_s is 30.0"),
        ("sm_clock_hz", math.nan, "sm_clock_hz is nan"),
        ("gpu_utilization_pct", 100.5, "gpu_utilization_pct is 100.5, expected 0 to 100"),
        ("repeat", -1, "repeat is -1, expected at least 0"),
    ],
)
def test_impossible_numbers_are_refused(tmp_path: Path, column: str, value: float, message: str) -> None:
    rows = [BASE.to_dict(), {**BASE.to_dict(), "case": "odd", column: value}]
    write_foreign(pa.Table.from_pylist(rows, schema=row_schema()), tmp_path / "rows.parquet")
    with pytest.raises(BadDataset, match=rf"rows.parquet: case 'odd'.*{message}.*1 such row"):
        load_rows(tmp_path)
    if math.isfinite(value):  # others are no JSON
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        with pytest.raises(BadDataset, match=rf"rows.jsonl: case 'odd'.*{message}"):
            load_rows(tmp_path)


def test_power_above_the_cap_is_refused(tmp_path: Path) -> None:
    store(tmp_path, replace(BASE, power_w=740.0, energy_j=185.0))
    assert len(load_rows(tmp_path)) == 1  # nobody knows the board
    write_manifest(tmp_path, {"runs": [{"power_limit_w": 700.0}]})
    with pytest.raises(BadDataset, match="740, more than 1.05 of the board's cap of 700 W"):
        load_rows(tmp_path)


def test_one_run_twice_is_refused_and_deliberate_repeats_stay(tmp_path: Path) -> None:
    first = replace(BASE, measured_at="2026-11-22T08:00:00+00:00")
    store(tmp_path / "a", first, replace(first, repeat=1), replace(first, method="events", energy_j=None, power_w=None))
    store(tmp_path / "b", replace(first, measured_at="2026-11-23T08:00:00+00:00"))
    assert len(load_rows(tmp_path)) == 4
    shutil.copytree(tmp_path / "b", tmp_path / "copy")
    with pytest.raises(BadDataset, match="1 rows stand there twice, the first is case 'a' of collection 'c', repeat 0"):
        load_rows(tmp_path)
