"""A journal loses nothing that was finished, whatever happens to the process or the disk."""

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from irene.dataset import journal as journal_module
from irene.dataset.journal import encode_line, read_journal_rows
from irene.dataset.schema import SCHEMA_VERSION, Row
from irene.dataset.store import RowJournal, read_manifest, write_manifest
from irene.errors import BadDataset, CannotWrite, IreneError, NoMeasurement


def make_row(case: str = "a", repeat: int = 0, **changes: object) -> Row:
    fields: dict[str, object] = {
        "case": case, "level": "primitive", "name": "linear", "families": "bert", "dtype": "bfloat16",
        "execution": "eager", "method": "window", "duration_s": 0.25, "energy_j": 30.0, "power_w": 120.0,
        "repeat": repeat,
    }  # fmt: skip
    return Row(**{**fields, **changes})  # type: ignore[arg-type]


def cases_on_disk(directory: Path) -> list[str]:
    return [row["case"] for row in journal_module.read_journal_rows(directory)]


def test_opening_again_knows_what_is_finished(tmp_path: Path) -> None:
    with RowJournal(tmp_path / "new" / "h200") as journal:
        journal.append(make_row("a", 0))
        journal.append(make_row("a", 1))
        journal.append(make_row("b", 0, method="events", energy_j=None, power_w=None))
        journal.append_skip("c", "out of memory")
    again = RowJournal(tmp_path / "new" / "h200")
    assert again.finished() == {("a", 0, "window"), ("a", 1, "window"), ("b", 0, "events")}
    assert again.skipped() == {"c": "out of memory"}


@settings(max_examples=40, deadline=None)
@given(names=st.lists(st.text(max_size=8), min_size=1, max_size=4), share=st.floats(0, 1))
def test_a_file_cut_anywhere_keeps_its_whole_rows_and_goes_on(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], share: float
) -> None:
    directory = tmp_path_factory.mktemp("cut")
    path = directory / "rows.jsonl"
    ends = []
    with RowJournal(directory) as journal:
        for name in names:
            journal.append(make_row(name))
            ends.append(path.stat().st_size)
    size = round(share * ends[-1])
    os.truncate(path, size)
    whole = [name for name, end in zip(names, ends, strict=True) if end <= size]
    assert cases_on_disk(directory) == whole  # reading alone already ignores the torn line
    with RowJournal(directory) as journal:
        assert journal.finished() == {(name, 0, "window") for name in whole}
        journal.append(make_row("next"))
    assert cases_on_disk(directory) == [*whole, "next"]


def test_a_killed_process_keeps_every_appended_row(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from irene.dataset.schema import Row\n"
        "from irene.dataset.store import RowJournal\n"
        "journal = RowJournal(sys.argv[1])\n"
        "for i in range(5):\n"
        "    journal.append(Row(str(i), 'model', 'bert', 'bert', 'float32', 'eager', 'window', 1.0))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], env={**os.environ, "PYTHONPATH": os.getcwd()}, check=False
    )
    assert done.returncode == -9
    assert cases_on_disk(tmp_path) == list("01234")


def test_a_journal_needs_neither_pandas_nor_pyarrow(tmp_path: Path) -> None:
    script = (
        "import sys\nfrom irene.dataset.store import RowJournal\nRowJournal(sys.argv[1]).close()\n"
        "assert not {'pandas', 'pyarrow', 'numpy'} & set(sys.modules)"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=True, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_half_a_line_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    journal = RowJournal(tmp_path)
    journal.append(make_row("a"))
    before = (tmp_path / "rows.jsonl").read_bytes()
    real, writes = os.write, []

    def fill_up(descriptor: int, data: bytes) -> int:
        writes.append(len(data))
        if len(writes) > 1:
            raise error
        return real(descriptor, data[:20])

    monkeypatch.setattr(os, "write", fill_up)
    expected = CannotWrite if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        journal.append(make_row("b"))
    assert len(writes) == 2
    assert (tmp_path / "rows.jsonl").read_bytes() == before
    assert journal.finished() == {("a", 0, "window")}
    if expected is CannotWrite:
        assert isinstance(caught.value, IreneError)
        assert "no space left" in str(caught.value) and "rows.jsonl" in str(caught.value)
    monkeypatch.setattr(os, "write", real)
    journal.append(make_row("b"))  # space is back
    assert cases_on_disk(tmp_path) == ["a", "b"]


@pytest.mark.parametrize(
    "changes",
    [
        {"energy_j": 0.0},
        {"energy_j": float("nan")},
        {"duration_s": -1.0},
        {"sm_clock_hz": float("inf")},
        {"energy_j": 30.1},
        {"gpu_utilization_pct": 101.0},
        {"ticks": 0},
        {"temperature_after_c": 4e3},
    ],  # fmt: skip
)
def test_what_is_no_measurement_is_not_stored(tmp_path: Path, changes: dict[str, float]) -> None:
    journal = RowJournal(tmp_path)
    with pytest.raises(NoMeasurement, match=next(iter(changes))):
        journal.append(make_row("bad", **changes))
    assert cases_on_disk(tmp_path) == [] and journal.finished() == set()


def test_no_row_draws_more_than_the_board_can(tmp_path: Path) -> None:
    """690 W were seen at a cap of 700, and 706 for a moment; 740 W is a broken counter."""
    journal = RowJournal(tmp_path, power_cap_w=700.0)
    journal.append(make_row("hot", energy_j=734.0 * 0.25, power_w=734.0))
    with pytest.raises(NoMeasurement, match="power_w is 736, more than 1.05 of the board's cap of 700 W"):
        journal.append(make_row("odd", energy_j=736.0 * 0.25, power_w=736.0))
    assert cases_on_disk(tmp_path) == ["hot"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", "not JSON"),
        ("[1]", "expected an object, got list"),
        (json.dumps({**make_row().to_dict(), "joules_v2": 1}), "unknown fields 'joules_v2'"),
        (json.dumps({"case": "a"}), "fields missing: level"),
        (json.dumps({**make_row().to_dict(), "duration_s": "0.25"}), "at duration_s, expected .*float.*, got '0.25'"),
        (json.dumps({**make_row().to_dict(), "reference": 1}), "at reference, expected .*bool.*, got 1"),
        (encode_line(make_row("b").to_dict())[:-1].decode().replace('"b"', '"c"'), "its digest is not that"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_foreign_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps(make_row().to_dict()) + "\n" + line + "\n")
    with pytest.raises(BadDataset, match=f"rows.jsonl, line 2.*{message}"):
        RowJournal(tmp_path)


def test_rows_of_an_older_version_get_the_defaults(tmp_path: Path) -> None:
    old = make_row().to_dict()
    del old["tree"], old["host_cpu_pct"]
    (tmp_path / "rows.jsonl").write_text(json.dumps(old) + "\n")
    (row,) = journal_module.read_journal_rows(tmp_path)
    assert Row(**row) == make_row()


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: (path.touch(), os.truncate(path, 10**12))])
def test_a_pipe_or_a_sparse_terabyte_is_no_journal(tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "rows.jsonl")
    for read in (lambda: list(read_journal_rows(tmp_path)), lambda: RowJournal(tmp_path)):
        with pytest.raises(BadDataset, match="it is a directory, pipe or device|MB are read"):
            read()


def test_an_output_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="Choose another place"):
        RowJournal(tmp_path / "file")


def test_manifest_round_trip_and_refusals(tmp_path: Path) -> None:
    with pytest.raises(BadDataset, match=r"No manifest\.json"):
        read_manifest(tmp_path)
    write_manifest(tmp_path, {"gpu": "NVIDIA H200", "idle_power_w": 78.5})
    read = read_manifest(tmp_path)
    assert read.items() >= {"gpu": "NVIDIA H200", "idle_power_w": 78.5, "schema_version": SCHEMA_VERSION}.items()
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]  # no temporary file is left
    for text, message in (
        ("{", "is not JSON"),
        ('{"schema_version": 99}', "Update irene"),
        ("[]", "expected an object"),
        ('{"schema_version": 1}', "no digest in it.*irene.dataset.manifest"),
        (json.dumps(read | {"idle_power_w": 78.0}), "damaged or edited"),
        ('{"schema_version": 1, "runs": [{"host_costs_s": {"aten.add": -1}}]}', r"at runs\[0\].host_costs_s.*add"),
    ):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(BadDataset, match=message):
            read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"collection": {"a": 1}}, "at collection, expected a text"),
        ({"runs": [{"date": "soon"}]}, r"at runs\[0\].date, expected a date with its time zone"),
        ({"runs": [{"date": "2026-11-22T09:00:00"}]}, "expected a date with its time zone"),
    ],
)
def test_a_manifest_that_was_edited_and_sealed_again(tmp_path: Path, content: dict[str, object], words: str) -> None:
    write_manifest(tmp_path, content)
    with pytest.raises(BadDataset, match=words):
        read_manifest(tmp_path)
