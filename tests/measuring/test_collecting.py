"""A collection on a machine that is none: what it writes, skips, repeats and checks."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import irene.measuring
from irene.cli.main import run as run_command
from irene.dataset.journal import (
    read_journal_skips,
)
from irene.dataset.manifest import read_manifest
from irene.dataset.store import load_rows
from irene.errors import BadInput, CannotWrite, MeterError
from irene.measuring import collection, starting
from irene.measuring.collecting import collect
from irene.measuring.plan import ModelCase, PrimitiveCase, load_plan
from irene.measuring.schedule import is_tenth
from irene.measuring.window import WindowMeasurement
from irene.model_tree.serialization import decompress_tree
from tests.measuring.fake_machine import FakeMachine
from tests.measuring.small_collection import (
    PRIMITIVES,
    captured_in,
    expect_complete,
    rows_in,
)

ROOT = Path(__file__).parents[2]


pytestmark = pytest.mark.usefixtures("quick")


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
            assert 100 < row["power_w"] < 400  # 200 W, in a window of a few ticks on a busy machine
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
    assert 100 < run["idle_power_context_w"] < 400
    assert set(run["host_costs_s"]) == {"aten.relu.default"} and 0 < run["module_call_s"] < 1e-2
    assert run["gpu"] == "none" and 0.002 < run["counter_period_s"] < 0.02


def test_a_reference_that_tracks_the_card_comes_after_start_load_and_rest(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = collection.REFERENCES
    monkeypatch.setattr(collection, "REFERENCES", (replace(first, tracks_card=True), second))
    monkeypatch.setattr(collection, "TRACK_EVERY_S", 0.0)
    slept: list[float] = []
    monkeypatch.setattr(collection, "REST_S", 0.125)
    monkeypatch.setattr(collection, "_sleep", slept.append)
    collect(plan, tmp_path / "out", machine=FakeMachine())
    rows = rows_in(tmp_path / "out")
    tracking = [row["reference_moment"] for row in rows if row["case"] == "reference|neg"]
    assert (tracking[0], tracking[-1], slept) == ("start", "rest", [0.125])
    assert len(tracking) > 4 and set(tracking[1:-1]) == {"load"}
    assert [row["reference_moment"] for row in rows if row["case"] == "reference|bert"] == ["start", "load"]
    assert rows[-1]["case"] == "reference|neg" and {r["reference_moment"] for r in rows if not r["reference"]} == {""}


def test_another_card_of_a_host_is_another_run(plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(starting, "_boot_id", lambda: "b00t")
    for card in ("a", "a", "b"):
        machine = FakeMachine()
        monkeypatch.setattr(machine, "describe", lambda card=card: {"gpu": "none", "card": card})
        collect(plan, tmp_path / "out", machine=machine)
    runs = read_manifest(tmp_path / "out")["runs"]
    assert [run["card"] for run in runs] == ["a", "b"] and "temperature_first_c" in runs[0]


@pytest.mark.parametrize(("utilization", "repeats"), [(None, 3), (40.0, 3), (95.0, 1)])
def test_host_bound_cases_are_repeated(
    plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, utilization: float | None, repeats: int
) -> None:
    def measure(*arguments: Any, **options: Any) -> WindowMeasurement:
        numbers = (1.0, 1.0, 1.0, 1.0, 1.0, 10)
        return WindowMeasurement(*numbers, utilization, None, None, None, None, None, None, None, 1.0)

    monkeypatch.setattr(collection, "measure_window", measure)
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


def test_captured_rows_with_other_kernels_do_not_count(plan: Path, tmp_path: Path) -> None:
    machine = FakeMachine()
    machine.captured_kernels = {"kernel": 1, "mask": 2}
    collect(plan, tmp_path / "out", machine=machine)
    captured = captured_in(tmp_path / "out")
    assert captured and {row["kernels_as_eager"] for row in captured} == {False}
    assert all("captured kernels differ" in skip["reason"] for skip in read_journal_skips(tmp_path / "out"))
    assert not set(load_rows(tmp_path / "out")["case"]) & {row["case"] for row in captured}


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
    assert callable(irene.measuring.collect)  # that the import waits for it is in test_house
    with pytest.raises(AttributeError, match="'irene.measuring' has no attribute 'colect'"):
        irene.measuring.colect  # noqa: B018
