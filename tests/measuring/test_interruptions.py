"""What Ctrl-C, a full disk, a kill or a limit of time leaves behind: every finished row, and the rest comes later."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from irene.dataset.journal import (
    ROWS_JOURNAL,
    RowJournal,
    read_journal_skips,
)
from irene.dataset.store import load_rows
from irene.errors import BadInput, CannotWrite, MeterError
from irene.measuring import collection
from irene.measuring.collecting import collect
from irene.measuring.collection import Collection
from irene.measuring.plan import ModelCase, load_plan
from irene.measuring.schedule import is_tenth, schedule
from irene.measuring.targets import BuiltModel
from tests.measuring.fake_machine import FakeMachine
from tests.measuring.small_collection import (
    captured_in,
    expect_complete,
    rows_in,
    same_but_checked,
    shorten,
)

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.usefixtures("quick")


def test_a_broken_device_ends_the_collection(plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every case that follows would be skipped for good."""
    machine = FakeMachine()

    def read_energy_j() -> float:
        raise MeterError("GPU is lost")

    def break_down(_: str) -> None:
        if len(machine.prepared) == 4:
            monkeypatch.setattr(machine.meter, "read_energy_j", read_energy_j)

    machine.before = break_down
    with pytest.raises(MeterError, match="GPU is lost"):
        collect(plan, tmp_path / "out", machine=machine)
    assert len(list(read_journal_skips(tmp_path / "out"))) == 1


def test_ctrl_c_keeps_every_finished_row(plan: Path, tmp_path: Path) -> None:
    machine = FakeMachine()

    def interrupt(_: str) -> None:
        if len(machine.prepared) == 5:
            raise KeyboardInterrupt

    machine.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        collect(plan, tmp_path / "out", machine=machine)
    kept = rows_in(tmp_path / "out")
    assert len(kept) >= 5 and len(load_rows(tmp_path / "out")) == len(kept)
    assert (tmp_path / "out" / "rows.parquet").exists()
    collect(plan, tmp_path / "out", machine=FakeMachine())
    expect_complete(plan, tmp_path / "out")
    assert rows_in(tmp_path / "out")[: len(kept)] == kept or same_but_checked(kept, rows_in(tmp_path / "out"))


def test_a_stop_within_the_first_references_leaves_none_out(plan: Path, tmp_path: Path) -> None:
    machine = FakeMachine()

    def interrupt(key: str) -> None:
        if machine.prepared:
            raise KeyboardInterrupt

    machine.before = interrupt
    with pytest.raises(KeyboardInterrupt):
        collect(plan, tmp_path / "out", machine=machine)
    assert [row["case"] for row in rows_in(tmp_path / "out")] == ["reference|neg"]
    collect(plan, tmp_path / "out", machine=FakeMachine())
    names = [row["case"] for row in rows_in(tmp_path / "out")]
    assert names[:2] == ["reference|neg", "reference|bert"] and names.count("reference|neg") == 2


def test_a_full_disk_keeps_every_finished_row(plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, sizes, really_write = tmp_path / "out", list[int](), os.write

    def write(descriptor: int, data: bytes) -> int:
        sizes.append(len(data))
        if len(sizes) == 7:  # half of this row still fits
            return really_write(descriptor, data[: len(data) // 2])
        if len(sizes) > 7 and b'"reason":' not in data:  # no rows any more; a short line about a skipped case would
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return really_write(descriptor, data)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr("irene.dataset.store.write_whole", _raise_full)
    with pytest.raises(CannotWrite, match="no space left. Every finished row is kept"):
        collect(plan, directory, machine=FakeMachine())
    monkeypatch.undo()
    assert len(rows_in(directory)) == 6
    assert (directory / ROWS_JOURNAL).read_bytes().endswith(b"}\n")
    assert list(read_journal_skips(directory)) == []
    with pytest.MonkeyPatch.context() as patches:
        shorten(patches, plan.parent)
        collect(plan, directory, machine=FakeMachine())
    expect_complete(plan, directory)


def _raise_full(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_two_collectors_at_once_and_another_plan(plan: Path, tmp_path: Path) -> None:
    directory = tmp_path / "out"
    refused = list[str]()

    def collect_too(_: str) -> None:
        with pytest.raises(BadInput) as caught:
            collect(plan, directory, machine=FakeMachine())
        refused.append(str(caught.value))

    collect(plan, directory, machine=FakeMachine(collect_too))
    assert refused and all(f"(process {os.getpid()}) writes into {directory}" in line for line in refused)
    expect_complete(plan, directory)
    before = (directory / ROWS_JOURNAL).read_bytes()
    other = plan.with_name("other.toml")
    for text, message in (
        (plan.read_text().replace('"small"', '"large"'), "holds the collection 'small', not 'large': another plan"),
        ('name = "small"\nprimitives = "cases.jsonl.gz"\n', "cases that are not in plan 'small'"),
    ):
        other.write_text(text)
        with pytest.raises(BadInput, match=message):
            collect(other, directory, machine=FakeMachine())
    assert (directory / ROWS_JOURNAL).read_bytes() == before and not list(directory.glob(".*"))


def test_rows_of_another_gpu_or_of_a_rehearsal_do_not_mix(plan: Path, finished: Path) -> None:
    machine = FakeMachine()
    machine.describe = lambda: {"gpu": "NVIDIA H200"}  # type: ignore[method-assign]
    before = (finished / ROWS_JOURNAL).read_bytes()
    with pytest.raises(BadInput, match="holds rows of 'none', and this GPU is 'NVIDIA H200'"):
        collect(plan, finished, machine=machine)
    assert (finished / ROWS_JOURNAL).read_bytes() == before and not machine.prepared


def test_a_killed_process_loses_the_window_in_flight_at_most(plan: Path, tmp_path: Path) -> None:
    directory = tmp_path / "out"
    command = [sys.executable, "-m", "tests.measuring.small_collection", str(plan), str(directory)]
    journal = directory / ROWS_JOURNAL
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline_s = time.monotonic() + 600  # only so that a collection that hangs ends here
        while not journal.exists() or journal.read_bytes().count(b"\n") < 5:
            assert process.poll() is None and time.monotonic() < deadline_s, process.communicate(timeout=120)
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL and out == b""
    kept = rows_in(directory)
    assert len(kept) >= 5
    again = FakeMachine()
    collect(plan, directory, machine=again)
    expect_complete(plan, directory)
    assert same_but_checked(kept, rows_in(directory))
    done = {row["case"] for row in kept if row["method"] == "window" and row["level"] == "primitive"}
    assert not [key for key in again.prepared if key in done and not is_tenth(key)]


def test_a_limit_of_time_closes_with_references_and_goes_on_later(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "out"
    collect(plan, directory, time_limit_s=1.0, machine=FakeMachine())  # less than closing takes: references alone
    assert {row["case"] for row in rows_in(directory)} == {"reference|neg", "reference|bert"}
    monkeypatch.setattr(collection, "_CLOSING_S", 0.0)
    collect(plan, directory, time_limit_s=60.0, machine=FakeMachine())
    expect_complete(plan, directory)


def test_time_is_kept_for_building_the_captured_models_once_more(plan: Path, tmp_path: Path) -> None:
    class Slow(FakeMachine):
        def build(self, case: ModelCase, seed: int) -> BuiltModel:
            time.sleep(0.2)
            return super().build(case, seed)

    with RowJournal(tmp_path / "out") as journal:
        run = Collection(load_plan(plan), Slow(), journal, None)
        before_s = run.closing_s()
        run.measure(schedule(run.plan))
        assert (
            len(run.progress.unchecked_captures(run.plan)) == 2
        )  # a model and a module of it, which are built together
        [build_s] = run.build_s.values()
        assert build_s > 0.2 and run.closing_s() - before_s == pytest.approx(2 * collection._CHECK_S + build_s)


def test_a_stop_in_the_middle_of_the_checks_forgets_none(plan: Path, tmp_path: Path) -> None:
    machine = FakeMachine()
    machine.captured_kernels = {"other": 1}
    counted = [0]

    def count(target: Any) -> dict[str, int]:
        counted[0] += 1
        if counted[0] == 3:
            raise KeyboardInterrupt
        return FakeMachine.count_kernels(machine, target)

    machine.count_kernels = count  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        collect(plan, tmp_path / "out", machine=machine)
    assert {row["kernels_as_eager"] for row in captured_in(tmp_path / "out")} == {None, False}
    collect(plan, tmp_path / "out", machine=FakeMachine())
    assert {row["kernels_as_eager"] for row in captured_in(tmp_path / "out")} == {True, False}


def test_a_skip_whose_rows_were_never_marked_is_checked_again(plan: Path, finished: Path) -> None:
    """A kill between the skip and the mark must not turn rows of other kernels into data."""
    journal = finished / ROWS_JOURNAL
    rows = [row | {"kernels_as_eager": None} for row in rows_in(finished)]
    journal.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (captured,) = {r["case"] for r in rows if r["execution"] == "cuda_graph" and r["level"] == "model"}
    skip = {"case": captured, "reason": "captured kernels differ from eager: []"}
    (finished / "skips.jsonl").write_text(json.dumps(skip) + "\n")
    machine = FakeMachine()
    machine.captured_kernels = {"other": 1}
    collect(plan, finished, machine=machine)
    assert {row["kernels_as_eager"] for row in rows_in(finished) if row["case"] == captured} == {False}
