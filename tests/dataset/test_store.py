"""Rows survive the way to parquet and back, what is no dataset is refused by name, labels are medians."""

import errno
import math
import os
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from irene.dataset.manifest import seal_tables
from irene.dataset.schema import ROW_FIELDS, Row
from irene.dataset.store import RowJournal, has_drawn_loads, label_cases, load_rows, write_manifest, write_parquet
from irene.errors import BadDataset, NoSpace
from tests.dataset.made_rows import BASE, store, write_foreign


def rows_of(frame: pd.DataFrame) -> list[Row]:
    records = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [Row(**record) for record in records]  # type: ignore[misc]


positive = st.floats(min_value=1e-9, max_value=1e9)
any_rows = st.builds(
    lambda case, repeat, energy_j, duration_s, **more: replace(
        BASE,
        case=case,
        repeat=repeat,
        duration_s=duration_s,
        energy_j=energy_j,
        **more,
        power_w=None if energy_j is None else energy_j / duration_s,
    ),
    repeat=st.integers(0, 2**40),
    energy_j=st.none() | positive,
    case=st.text(max_size=5),
    duration_s=positive,
    batch_size=st.none() | st.integers(1, 2**53 + 1),
    throttle_reasons=st.none() | st.integers(0, 2**62),
    kernels_as_eager=st.sampled_from([None, True]),
    reference=st.booleans(),
    sm_clock_hz=st.none() | positive,
    tree=st.text(max_size=20),
)


@settings(max_examples=25, deadline=None)
@given(rows=st.lists(any_rows, min_size=1, max_size=4, unique_by=lambda row: (row.case, row.repeat)))
def test_journal_parquet_and_back_change_nothing(tmp_path_factory: pytest.TempPathFactory, rows: list[Row]) -> None:
    directory = store(tmp_path_factory.mktemp("trip"), *rows)
    from_journal = load_rows(directory)
    write_parquet(directory)
    (directory / "rows.jsonl").unlink()
    from_parquet = load_rows(directory)
    pd.testing.assert_frame_equal(from_journal, from_parquet)
    assert rows_of(from_parquet) == rows
    assert tuple(from_parquet.columns) == ROW_FIELDS
    assert from_parquet["throttle_reasons"].dtype == "Int64"  # a float would lose bits


def test_a_collection_of_which_only_tables_were_kept_goes_on(tmp_path: Path) -> None:
    store(tmp_path, BASE, replace(BASE, repeat=1))
    RowJournal(tmp_path).append_skip("z", "no kernel")
    write_parquet(tmp_path)
    for name in ("rows.jsonl", "skips.jsonl"):
        (tmp_path / name).unlink()
    with RowJournal(tmp_path) as journal:
        assert journal.finished() == {("a", 0, "window"), ("a", 1, "window")}
        assert journal.skipped() == {"z": "no kernel"}
        journal.append(replace(BASE, repeat=2))
    assert rows_of(load_rows(tmp_path)) == [BASE, replace(BASE, repeat=1), replace(BASE, repeat=2)]


def test_parquet_is_zstd_with_explicit_types_and_keeps_skips(tmp_path: Path) -> None:
    RowJournal(store(tmp_path, BASE)).append_skip("z", "too large")
    path = write_parquet(tmp_path)
    file = parquet.ParquetFile(path)
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    schema = file.schema_arrow
    assert schema.field("energy_j").type == pa.float64() and schema.field("energy_j").nullable
    assert schema.field("batch_size").type == pa.int64() and schema.field("kernels_as_eager").type == pa.bool_()
    assert not schema.field("duration_s").nullable and schema.field("level").type == pa.string()
    assert parquet.read_table(tmp_path / "skips.parquet").to_pylist() == [{"case": "z", "reason": "too large"}]


def test_collections_below_a_directory_are_named_by_their_folders(tmp_path: Path) -> None:
    unnamed = replace(BASE, collection="")
    store(tmp_path / "h200" / "first", unnamed)
    store(tmp_path / "h200" / "second", BASE)
    write_parquet(store(tmp_path / "a100" / "first", unnamed))
    assert set(load_rows(tmp_path / "h200")["collection"]) == {"first", "c"}
    assert set(load_rows(tmp_path)["collection"]) == {"h200/first", "a100/first", "c"}  # same name twice: whole path
    assert list(load_rows(tmp_path / "a100" / "first")["collection"]) == ["first"]


def test_captured_rows_with_other_kernels_do_not_count(tmp_path: Path) -> None:
    rows = [replace(BASE, case=str(i), kernels_as_eager=k) for i, k in enumerate([True, False, None, False])]
    frame = load_rows(store(tmp_path / "some", *rows))
    assert list(frame["case"]) == ["0", "2"]
    assert frame.attrs["excluded_other_kernels"] == 2
    with pytest.raises(BadDataset, match="none of 1 rows"):
        load_rows(store(tmp_path / "none", rows[1]))


def test_nothing_to_load_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match="No collection"):
        load_rows(tmp_path)
    with pytest.raises(BadDataset, match="No directory"):
        load_rows(tmp_path / "absent")
    RowJournal(tmp_path).close()
    with pytest.raises(BadDataset, match="No rows"):
        load_rows(tmp_path)
    with pytest.raises(BadDataset, match="No rows"):
        write_parquet(tmp_path)


def test_unreadable_and_foreign_tables_are_named(tmp_path: Path) -> None:
    path = write_parquet(store(tmp_path, BASE))
    (tmp_path / "rows.jsonl").unlink()
    table = parquet.read_table(path)

    def expect(message: str) -> None:
        with pytest.raises(BadDataset, match=rf"rows\.parquet.*{message}"):
            load_rows(tmp_path)

    write_foreign(table.drop_columns(["duration_s"]), path)
    expect("columns missing: duration_s")
    write_foreign(table.append_column("extra", pa.array([1])), path)
    expect("extra.*Update irene")
    write_foreign(table.replace_schema_metadata({"irene_schema_version": "99"}), path)
    expect("version 99.*Update irene")
    write_foreign(table.drop_columns(["tree"]), path)
    assert load_rows(tmp_path)["tree"].tolist() == [""]  # an optional column of a later version: its default
    path.write_bytes(b"PAR1 nothing")
    expect("its digest is not the one in manifest.json")
    seal_tables(tmp_path)
    with pytest.raises(BadDataset, match=r"Cannot read .*rows\.parquet"):
        load_rows(tmp_path)
    with pytest.raises(BadDataset, match="Cannot continue"):
        RowJournal(tmp_path)


def test_rows_from_before_loads_were_noted(tmp_path: Path) -> None:
    routed = {"busy_experts_pct": 40.0, "expert_load_deviation": 1.5}
    path = write_parquet(store(tmp_path / "old", replace(BASE, **routed)))
    (tmp_path / "old" / "rows.jsonl").unlink()
    write_foreign(parquet.read_table(path).drop_columns([*routed, "drawn_load_deviation"]), path)
    store(tmp_path / "new", replace(BASE, case="b", **routed), replace(BASE, case="d", drawn_load_deviation=0.3))
    rows = load_rows(tmp_path).set_index("case").sort_index()
    assert rows["busy_experts_pct"].tolist() == pytest.approx([math.nan, 40.0, math.nan], nan_ok=True)
    assert rows["expert_load_deviation"].dtype == float and has_drawn_loads(rows).tolist() == [False, False, True]
    assert has_drawn_loads(rows.drop(columns="drawn_load_deviation")).tolist() == [False] * 3


def test_a_full_disk_leaves_the_old_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_parquet(store(tmp_path, BASE))
    before = path.read_bytes()
    store(tmp_path, replace(BASE, case="b"))

    def fill_up(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fill_up)
    with pytest.raises(NoSpace, match=r"rows\.parquet.*no space left.*untouched"):
        write_parquet(tmp_path)
    assert path.read_bytes() == before and not list(tmp_path.glob("*.part"))


def test_a_newer_manifest_is_refused(tmp_path: Path) -> None:
    path = write_manifest(store(tmp_path, BASE), {})
    assert len(load_rows(tmp_path)) == 1
    path.write_text('{"schema_version": 2}')
    with pytest.raises(BadDataset, match="Update irene"):
        load_rows(tmp_path)


def test_labels_are_medians_and_reference_calls_stay_apart(tmp_path: Path) -> None:
    joules, utilization = [3.0, 1.0, 2.0], [80.0, 90.0, 86.0]
    rows = [
        replace(BASE, repeat=i, energy_j=e, duration_s=e / 10, power_w=10.0, gpu_utilization_pct=u, measured_at=str(i))
        for i, (e, u) in enumerate(zip(joules, utilization, strict=True))
    ]
    rows += [
        replace(BASE, method="events", energy_j=None, duration_s=0.7),
        replace(BASE, case="b", energy_j=5.0, power_w=20.0, seq_len=128),
        replace(BASE, case="gemm", reference=True, repeat=0, energy_j=1.0, power_w=4.0),
        replace(BASE, case="gemm", reference=True, repeat=1, energy_j=2.0, power_w=8.0),
    ]
    frame = load_rows(store(tmp_path, *reversed(rows)))
    labels = label_cases(frame).set_index(["case", "method"])
    assert set(labels.index) == {("a", "window"), ("a", "events"), ("b", "window")}
    a = labels.loc[("a", "window")]
    assert (a["energy_j"], a["duration_s"], a["gpu_utilization_pct"], a["repeats"]) == (2.0, 0.2, 86.0, 3)
    assert a["energy_spread_pct"] == pytest.approx(100.0) and a["measured_at"] == "0"
    assert math.isnan(labels.loc[("a", "events"), "energy_j"])
    assert math.isnan(labels.loc[("b", "window"), "energy_spread_pct"])
    reference = label_cases(frame, reference=True)
    assert reference[["case", "energy_j", "repeats"]].to_numpy().tolist() == [["gemm", 1.5, 2]]
