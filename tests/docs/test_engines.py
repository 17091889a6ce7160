"""The recipe for Dask and Ray, as it is written: the values of one process, also where a worker dies on the way."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.docs.blocks import ROOT, read_blocks

pytestmark = [pytest.mark.engines, pytest.mark.filterwarnings("default")]  # of other libraries
MISSING = "the extra is missing: pip install '.[engines]'"


def recipe(word: str, language: str = "py") -> str:
    """The block of the recipe that has a word in it."""
    (block,) = (block for block in read_blocks("docs/recipes.md", language) if word in block)
    return block


@pytest.fixture(scope="module")
def asked() -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "recipe"}  # not to be imported: functions travel as they are
    exec(recipe("def price", "python"), names)
    return names


@pytest.fixture(scope="module")
def alone(asked: dict[str, Any]) -> list[pd.DataFrame]:
    frames = [asked["price"](task) for task in asked["tasks"]]
    assert sum(map(len, frames)) == 1000
    return frames


@pytest.fixture
def names(asked: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the recipe begins with, but for a task in the middle, whose worker is killed the first time."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    price, fatal, died = asked["price"], asked["tasks"][10], tmp_path / "died"

    def price_or_die(task: tuple[str, int]) -> pd.DataFrame:
        if task == fatal and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return price(task)

    price_or_die.__module__ = "recipe"
    return asked | {"__name__": "__main__", "price": price_or_die, "died": died}


def expect_same(names: dict[str, Any], alone: list[pd.DataFrame]) -> None:
    assert names["died"].exists()
    assert len(names["frames"]) == len(alone) == 20
    for found, expected in zip(names["frames"], alone, strict=True):
        pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_dask(names: dict[str, Any], alone: list[pd.DataFrame]) -> None:
    pytest.importorskip("distributed", reason=MISSING)
    exec(recipe("dask.bag"), names)
    expect_same(names, alone)


def test_ray(names: dict[str, Any], alone: list[pd.DataFrame]) -> None:
    ray = pytest.importorskip("ray", reason=MISSING)
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        exec(recipe("import ray"), names)
    finally:
        ray.shutdown()
    expect_same(names, alone)
