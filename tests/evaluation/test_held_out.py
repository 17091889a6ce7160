"""Held-out cases are judged once, and again when rows or seed change."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from irene.evaluation import held_out
from irene.evaluation.held_out import load_held_out, save_held_out


def test_cases_are_kept_until_rows_or_seed_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def judge(dataset_dir: str | Path, seed: int, *, jobs: int, site_folds: int) -> pd.DataFrame:
        assert not site_folds
        asked.append(seed)
        return pd.DataFrame({"held_out": "family", "family": ["bert", "gpt2"], "low_j": [1.0, float("nan")]})

    monkeypatch.setattr(held_out, "judge_dataset", judge)
    rows, cases = tmp_path / "rows", tmp_path / "build" / "cases.parquet"
    rows.mkdir()
    (rows / "rows.parquet").write_bytes(b"rows")
    first = load_held_out(rows, cases)
    pd.testing.assert_frame_equal(load_held_out(rows, cases), first)
    assert asked == [0]
    load_held_out(rows, cases, seed=1)
    assert asked == [0, 1]
    (rows / "rows.parquet").write_bytes(b"more rows")
    load_held_out(rows, cases, seed=1)
    assert asked == [0, 1, 1]


def test_only_folds_of_families_are_kept(tmp_path: Path) -> None:
    rows, cases = tmp_path / "rows", tmp_path / "cases.parquet"
    rows.mkdir()
    judged = pd.DataFrame({"held_out": ["family", "site", "reserved family"], "family": ["bert", "(8, 8)", "gemma"]})
    save_held_out(judged, rows, cases)
    assert list(load_held_out(rows, cases)["family"]) == ["bert"]
