"""The summary counts what is there, and tells runs apart by their time."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest

from irene.dataset.manifest import write_manifest
from irene.dataset.summary import (
    compare_references,
    count_kinds,
    count_rows,
    count_surveys,
    label_runs,
    list_runs,
    to_markdown,
)
from irene.dataset.surveys import SurveyRow, write_survey
from irene.errors import BadDataset
from irene.primitives.call import Call, TensorSpec

X = TensorSpec((4,), (1,), "bfloat16")


def rows(*minutes: int) -> pd.DataFrame:
    """One row a minute: a GELU timed, and with energy; a SiLU; a reference call."""
    calls = [Call(f"aten.{op}.default", (X,), (), (X,)) for op in ("gelu", "gelu", "silu", "gelu")]
    return pd.DataFrame(
        {
            "case": ["gelu", "gelu", "silu", "reference|gelu"], "level": "primitive", "dtype": "bfloat16",
            "weights": "hot", "method": ["events", "window", "events", "window"], "execution": "cuda_graph",
            "collection": "c",
            "signature": [call.signature for call in calls], "energy_j": [None, 1.0, None, 2.5], "power_w": 100.0,
            "reference": [False, False, False, True],
            "measured_at": [f"2026-11-22T08:{minute:02d}:00+00:00" for minute in minutes],
        }
    )  # fmt: skip


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    runs = [{"date": f"2026-11-22T08:{minute}:00+00:00", "gpu": "NVIDIA H200"} for minute in ("10", "30")]
    write_manifest(tmp_path / "first", {"collection": "c", "runs": runs})
    write_manifest(tmp_path / "other", {"collection": "d", "date": "2026-11-22T08:20:00+00:00"})
    return tmp_path


def test_a_row_belongs_to_the_last_run_of_its_collection(directory: Path) -> None:
    assert [run["run"] for run in list_runs(directory)] == ["c/1", "d/1", "c/2"]
    assert label_runs(rows(10, 29, 30, 59), directory).tolist() == ["c/1", "c/1", "c/2", "c/2"]
    with pytest.raises(BadDataset, match="'gelu'"):
        label_runs(rows(9, 29, 30, 59), directory)


def test_distinct_cases_not_rows_are_counted() -> None:
    measured = rows(10, 11, 12, 13)
    assert count_rows(measured)["distinct_cases"].tolist() == [2, 1]
    assert count_kinds(measured).to_numpy().tolist() == [["activation", 2, 1], ["all", 2, 1]]


def test_references_are_shown_run_by_run(directory: Path) -> None:
    measured = rows(10, 11, 12, 13)
    table = compare_references(measured, label_runs(measured, directory))
    assert to_markdown(table).splitlines()[2] == "| gelu | 2.500 J, 100 W |"
    assert json.loads(table.to_json(orient="records")) == [{"reference call": "gelu", "c/1": "2.500 J, 100 W"}]


def test_two_times_of_a_surveyed_product_agree_at_one_clock(tmp_path: Path) -> None:
    times = ((40e-6, 1.98e9), (44e-6, 1.8e9), (10e-6, 1.98e9))  # the third is another product, too short to count
    rows = [SurveyRow(f"call {at // 2}", "tf32", s, s, hz, 1, "gemm", 1, 32) for at, (s, hz) in enumerate(times)]
    write_survey(rows, tmp_path)
    [counted] = count_surveys(tmp_path).to_dict("records")
    assert (counted["profiled"], counted["distinct"], counted["twice"]) == (3, 2, 1)
    assert counted["apart_pct"] == pytest.approx(100 * math.log(1.1))
    assert counted["at_one_clock_pct"] == pytest.approx(0, abs=1e-4)
    assert count_surveys(tmp_path / "none").empty
