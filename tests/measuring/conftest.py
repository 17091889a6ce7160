"""One small collection for all tests that only read or continue one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from irene.measuring.collecting import collect
from tests.measuring.fake_machine import FakeMachine
from tests.measuring.small_collection import shorten, write_plan


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_plan(tmp_path_factory.mktemp("plans") / "plan")


@pytest.fixture(scope="session")
def collected(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole collection, for tests that only read it or copy it."""
    with pytest.MonkeyPatch.context() as patches:
        shorten(patches, plan.parent)
        return collect(plan, tmp_path_factory.mktemp("rows") / "out", machine=FakeMachine())


@pytest.fixture
def finished(collected: Path, tmp_path: Path) -> Path:
    """A copy of the whole collection, to be continued."""
    return Path(shutil.copytree(collected, tmp_path / "out"))


@pytest.fixture
def quick(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows of milliseconds, references that a CPU can run."""
    shorten(monkeypatch, plan.parent)
