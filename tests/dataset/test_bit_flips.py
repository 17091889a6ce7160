"""One flipped bit in a table, a journal or a manifest: refused, or every value that is read is the same."""

import random
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from irene.dataset.journal import RowJournal
from irene.dataset.schema import Row
from irene.dataset.store import load_rows, write_manifest, write_parquet
from irene.dataset.surveys import SurveyRow, load_surveys, write_survey
from irene.errors import BadDataset

FLIPS = 125  # of each of the four kinds of files


def make_rows(directory: Path) -> Path:
    write_manifest(
        directory, {"collection": "c", "runs": [{"power_limit_w": 700.0, "host_costs_s": {"aten.add": 5e-6}}]}
    )
    with RowJournal(directory) as journal:
        for repeat in range(3):
            power_w, duration_s = 120.0 + repeat, 0.25
            journal.append(
                Row(
                    case="a", level="primitive", name="linear", families="bert", dtype="bfloat16", execution="eager",
                    method="window", duration_s=duration_s, energy_j=power_w * duration_s, power_w=power_w,
                    repeat=repeat, sm_clock_hz=1.98e9, ticks=12, signature='{"op":"aten.linear.default"}',
                )
            )  # fmt: skip
    return write_parquet(directory)


def read_rows(directory: Path) -> tuple[pd.DataFrame, dict[object, object]]:
    frame = load_rows(directory)
    return frame, dict(frame.attrs)


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl", "manifest.json"])
def test_one_flipped_bit_of_a_collection(tmp_path: Path, name: str) -> None:
    make_rows(tmp_path)
    if name == "rows.parquet":
        (tmp_path / "rows.jsonl").unlink()
    expect_refused_or_equal(tmp_path / name, lambda: read_rows(tmp_path))


def test_one_flipped_bit_of_a_survey(tmp_path: Path) -> None:
    write_survey([SurveyRow(f"call {at}", "tf32", 4e-5, 4e-5, 1.98e9, 1, "gemm", 1, 32) for at in range(9)], tmp_path)
    expect_refused_or_equal(tmp_path / "survey-tf32.parquet", lambda: (load_surveys(tmp_path), {}))


def expect_refused_or_equal(path: Path, read: Callable[[], tuple[pd.DataFrame, dict[object, object]]]) -> None:
    frame, shared = read()
    whole, draw = path.read_bytes(), random.Random(path.name)
    refused = 0
    for _ in range(FLIPS):
        bit = draw.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            again, shared_again = read()
        except BadDataset as error:
            refused += 1
            assert str(path.parent) in str(error) and "\n" not in str(error)
            continue
        pd.testing.assert_frame_equal(frame, again, check_exact=True)
        assert shared_again == shared
    path.write_bytes(whole)
    read()
    assert refused > FLIPS // 2  # some bits stand in spaces
