"""What is fitted under one key is fitted once, also by threads that ask at the same time."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from irene.leaves.learners import fit_cache
from irene.leaves.learners.fit_cache import FitCache, share_fits


def test_threads_wait_for_the_one_that_fits() -> None:
    fitted: FitCache[int] = FitCache(4)
    asked, calls = threading.Barrier(4), []

    def fit() -> int:
        calls.append(1)
        return len(calls)

    def ask(_: int) -> int:
        asked.wait(5)
        return fitted.get("same", fit)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [1, 1, 1, 1]


def test_the_oldest_goes_first_and_one_that_was_asked_for_again_stays() -> None:
    fitted: FitCache[int] = FitCache(2)
    assert [fitted.get(key, lambda: 1) for key in "abac"] == [1, 1, 1, 1]
    assert fitted.get("a", lambda: 2) == 1 and fitted.get("b", lambda: 2) == 2


def test_a_fit_that_fails_is_tried_again() -> None:
    fitted: FitCache[int] = FitCache(2)
    with pytest.raises(ZeroDivisionError):
        fitted.get("a", lambda: 1 // 0)
    assert fitted.get("a", lambda: 3) == 3


def test_what_another_process_fitted_is_read_as_long_as_the_folder_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fit_cache, "_SHARED", [])
    share_fits(tmp_path / "fits")
    (tmp_path / "fits").mkdir()
    assert FitCache[int](2, is_shared=True).get(b"a", lambda: 1) == 1
    assert (
        FitCache[int](2, is_shared=True).get(b"a", lambda: 2) == 1
        and FitCache[int](2, is_shared=True).get(b"b", lambda: 2) == 2
    )
    assert FitCache[int](2).get(b"a", lambda: 4) == 4  # not of the shared ones
    shutil.rmtree(tmp_path / "fits")
    assert FitCache[int](2, is_shared=True).get(b"a", lambda: 3) == 3
