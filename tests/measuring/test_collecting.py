"""A collection on a machine that is none: what it writes, and what a stop, a full disk or a kill leaves behind."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch

import irene.measuring
from irene.cli.main import run as run_command
from irene.dataset.journal import (
    ROWS_JOURNAL,
    CannotWrite,
    read_journal_rows,
    read_journal_skips,
    read_manifest,
)
from irene.dataset.store import load_rows
from irene.errors import BadInput, MeterError
from irene.measuring import collecting, starting
from irene.measuring.collecting import collect
from irene.measuring.plan import ModelCase, PrimitiveCase, load_plan
from irene.measuring.schedule import is_tenth
from irene.measuring.window import WindowMeasurement
from irene.model_tree.serialization import decompress_tree
from tests.measuring.fake_machine import FakeMachine
from tests.measuring.small_collection import PRIMITIVES, shorten, write_plan

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plan(tmp_path_factory.mktemp("plans") / "plan")


@pytest.fixture(scope="module")
def collected(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole collection, for tests that only read it or copy it."""
    with pytest.MonkeyPatch.context() as patches:
        shorten(patches, plan.parent)
        return collect(plan, tmp_path_factory.mktemp("rows") / "out", machine=FakeMachine())


@pytest.fixture
def finished(collected: Path, tmp_path: Path) -> Path:
    """A copy of the whole collection, to be continued."""
    return Path(shutil.copytree(collected, tmp_path / "out"))


@pytest.fixture(autouse=True)
def quick(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, plan.parent)


def rows_in(directory: Path) -> list[dict[str, Any]]:
    return list(read_journal_rows(directory))


def keys_of(rows: list[dict[str, Any]]) -> Counter[tuple[str, int, str]]:
    return Counter((row["case"], row["repeat"], row["method"]) for row in rows)


def captured_in(directory: Path) -> list[dict[str, Any]]:
    return [r for r in rows_in(directory) if r["execution"] == "cuda_graph" and r["level"] != "primitive"]


def expect_complete(plan: Path, directory: Path) -> None:
    """Every case of the plan once, repeats where the protocol wants them, no row twice."""
    keys = keys_of(rows_in(directory))
    assert set(keys.values()) == {1}
    loaded = load_plan(plan)
    timed = {case.key for case in loaded.primitives if case.weights != "host"}
    assert {case for case, repeat, method in keys if method == "events"} == timed
    windows = {case for case, repeat, method in keys if method == "window" and not case.startswith("reference")}
    assert windows == {c.key for c in loaded.primitives if c.energy and c.weights != "host"} | {
        case.key for case in loaded.models
    }


def test_a_whole_collection(plan: Path, collected: Path) -> None:
    directory = collected
    expect_complete(plan, directory)
    rows = rows_in(directory)
    names = [row["case"] for row in rows]
    assert names[:2] == names[-2:] == ["reference|neg", "reference|bert"]
    for row in rows:
        assert row["collection"] == "small" and row["measured_at"]
        assert (row["energy_j"] is None) == (row["method"] == "events")
        if row["method"] == "window":
            assert row["energy_j"] == pytest.approx(row["power_w"] * row["duration_s"], rel=1e-9)
            assert row["power_w"] == pytest.approx(200, rel=0.1)
            assert row["ticks"] >= 3 and row["calls"] > 0 and row["window_s"] > 0.01
    levels = Counter((row["level"], row["execution"]) for row in rows if row["repeat"] == 0 and not row["reference"])
    assert levels["model", "eager"] == levels["module", "eager"] == 1
    assert levels["model", "cuda_graph"] == levels["module", "cuda_graph"] == 1
    assert levels["primitive", "cuda_graph"] == PRIMITIVES + PRIMITIVES - 2
    (model,) = [row for row in rows if row["level"] == "model" and row["execution"] == "eager" and row["batch_size"]
                and not row["reference"] and row["repeat"] == 0]  # fmt: skip
    tree = decompress_tree(model["tree"])
    assert tree.root.type == "BertModel" and tree.workload.seq_len == 8
    assert (model["families"], model["dtype"], model["attention_implementation"]) == ("bert", "float32", "sdpa")
    captured = [row["kernels_as_eager"] for row in rows if row["level"] != "primitive"]
    assert captured.count(True) >= 2 and False not in captured
    assert len(load_rows(directory)) == len(rows)
    manifest = read_manifest(directory)
    (run,) = manifest["runs"]
    assert run["idle_power_context_w"] == pytest.approx(200, rel=0.1)
    assert set(run["host_costs_s"]) == {"aten.relu.default"} and 0 < run["module_call_s"] < 1e-2
    assert run["gpu"] == "none" and 0.002 < run["counter_period_s"] < 0.02


@pytest.mark.parametrize(("utilization", "repeats"), [(None, 3), (40.0, 3), (95.0, 1)])
def test_host_bound_cases_are_repeated(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, utilization: float | None, repeats: int
) -> None:
    def measure(*arguments: Any, **options: Any) -> WindowMeasurement:
        numbers = (1.0, 1.0, 1.0, 1.0, 1.0, 10)
        return WindowMeasurement(*numbers, utilization, None, None, None, None, None, None, None, 1.0)

    monkeypatch.setattr(collecting, "measure_window", measure)
    collect(plan, tmp_path / "out", machine=FakeMachine())
    seen = Counter(row["case"] for row in rows_in(tmp_path / "out") if row["method"] == "window")
    cases: list[ModelCase | PrimitiveCase] = [*load_plan(plan).models, *load_plan(plan).primitives]
    for case in cases:
        eager = isinstance(case, ModelCase) and case.workload.execution == "eager"
        if seen[case.key]:
            assert seen[case.key] == (3 if is_tenth(case.key) else repeats if eager else 1)


def test_starting_again_measures_nothing_twice(plan: Path, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = rows_in(finished)
    again = FakeMachine()
    collect(plan, finished, machine=again)
    new = rows_in(finished)[len(before) :]
    assert [row["case"] for row in new] == ["reference|neg", "reference|bert"]
    assert rows_in(finished)[: len(before)] == before
    assert len(again.prepared) == 2
    assert len(read_manifest(finished)["runs"]) == 1
    out, err = capsys.readouterr()
    assert out == "" and f"{len(before) + 2} rows" in err and "100%" in err


def test_another_machine_is_noted_and_measures_the_references_first(
    plan: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for boot in ("b", "", ""):  # where the boot is not known, every start counts as another machine
        monkeypatch.setattr(starting, "_boot_id", lambda boot=boot: boot)
        collect(plan, finished, machine=FakeMachine())
    assert [run["boot"] for run in read_manifest(finished)["runs"]][1:] == ["b", "", ""]
    assert sum(row["case"] == "reference|neg" for row in rows_in(finished)) == 8


def test_a_case_that_fails_is_skipped_with_its_reason(plan: Path, tmp_path: Path) -> None:
    chosen = {case.key: error for case, error in zip(load_plan(plan).primitives, _ERRORS, strict=False)}

    def fail(key: str) -> None:
        if key in chosen:
            raise chosen[key]

    collect(plan, tmp_path / "out", machine=FakeMachine(fail))
    skips = {skip["case"]: skip["reason"] for skip in read_journal_skips(tmp_path / "out")}
    assert skips == {key: f"{type(error).__name__}: {str(error).splitlines()[0]}" for key, error in chosen.items()}
    assert not set(skips) & {row["case"] for row in rows_in(tmp_path / "out")}
    healed = FakeMachine()
    collect(plan, tmp_path / "out", machine=healed)
    assert not set(skips) & set(healed.prepared)


_ERRORS = [MeterError("one\ntwo"), AttributeError("x"), KeyError("y"), torch.OutOfMemoryError("CUDA out of memory")]


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
    assert rows_in(tmp_path / "out")[: len(kept)] == kept or _same_but_checked(kept, rows_in(tmp_path / "out"))


def _same_but_checked(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> bool:
    return [r | {"kernels_as_eager": None} for r in old] == [r | {"kernels_as_eager": None} for r in new[: len(old)]]


def test_a_full_disk_keeps_every_finished_row(plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, written, really_write = tmp_path / "out", [0], os.write

    def write(descriptor: int, data: bytes) -> int:
        if written[0] >= 6:  # half of the line fits
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) if written[0] > 6 else _write_half(descriptor, data)
        written[0] += 1
        return really_write(descriptor, data)

    def _write_half(descriptor: int, data: bytes) -> OSError:
        really_write(descriptor, data[: len(data) // 2])
        written[0] += 1
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr("irene.dataset.store.replace_file", _raise_full)
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


def test_a_killed_process_loses_the_window_in_flight_at_most(plan: Path, tmp_path: Path) -> None:
    directory = tmp_path / "out"
    command = [sys.executable, "-m", "tests.measuring.small_collection", str(plan), str(directory)]
    journal = directory / ROWS_JOURNAL
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        deadline_s = time.monotonic() + 60
        while not journal.exists() or journal.read_bytes().count(b"\n") < 5:
            assert process.poll() is None and time.monotonic() < deadline_s, process.communicate()
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        out, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL and out == b""
    kept = rows_in(directory)
    assert len(kept) >= 5
    again = FakeMachine()
    collect(plan, directory, machine=again)
    expect_complete(plan, directory)
    assert _same_but_checked(kept, rows_in(directory))
    done = {row["case"] for row in kept if row["method"] == "window" and row["level"] == "primitive"}
    assert not [key for key in again.prepared if key in done and not is_tenth(key)]


def test_a_limit_of_time_closes_with_references_and_goes_on_later(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "out"
    collect(plan, directory, time_limit_s=1.0, machine=FakeMachine())  # less than closing takes: references alone
    assert {row["case"] for row in rows_in(directory)} == {"reference|neg", "reference|bert"}
    monkeypatch.setattr(collecting, "_CLOSING_S", 0.0)
    collect(plan, directory, time_limit_s=60.0, machine=FakeMachine())
    expect_complete(plan, directory)


def test_captured_rows_with_other_kernels_do_not_count(plan: Path, tmp_path: Path) -> None:
    machine = FakeMachine()
    machine.captured_kernels = {"kernel": 1, "mask": 2}
    collect(plan, tmp_path / "out", machine=machine)
    captured = captured_in(tmp_path / "out")
    assert captured and {row["kernels_as_eager"] for row in captured} == {False}
    assert all("captured kernels differ" in skip["reason"] for skip in read_journal_skips(tmp_path / "out"))
    assert not set(load_rows(tmp_path / "out")["case"]) & {row["case"] for row in captured}


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_without_a_gpu_the_command_says_so_and_how_to_go_on(
    plan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(["collect", "--plan", str(plan), "--output", str(tmp_path / "out")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.count("\n") == 1
    assert err.startswith("Error: No NVIDIA") and "irene predict" in err
    assert not (tmp_path / "out").exists()


def test_an_output_that_cannot_be_written(plan: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotWrite, match="Cannot write"):
        collect(plan, tmp_path / "file" / "out", machine=FakeMachine())
    with pytest.raises(BadInput, match="No such plan"):
        collect(tmp_path / "none.toml", tmp_path / "out", machine=FakeMachine())


def test_names_load_on_first_use() -> None:
    code = "import sys, irene.measuring as m; assert 'torch' not in sys.modules; assert callable(m.collect)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
    with pytest.raises(AttributeError, match="'irene.measuring' has no attribute 'colect'"):
        irene.measuring.colect  # noqa: B018
