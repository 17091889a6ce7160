"""A short slice of the check, and what it would seldom meet: a fork while another thread is half way."""

from __future__ import annotations

import gc
import multiprocessing
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from irene.garbage import without_collections
from irene.tracing.autocasting import autocast_as_on_a_gpu
from irene.tracing.library import LIBRARY, load_transformers
from tests.threads.__main__ import check
from tests.threads.answering import NAMES, Answer, answer, save_tree, surface, training, ways


@pytest.fixture(scope="module")
def serial(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    save_tree(tmp_path_factory.mktemp("threads"))
    return {name: answer(name) for name in NAMES}


@pytest.mark.parametrize("way", ["4 threads", "asyncio", "forked processes"])
def test_each_prediction_is_the_serial_one(serial: dict[str, Answer], way: str) -> None:
    found = check(way, ways()[way], len(NAMES), serial)
    assert (found.predictions, found.other, found.changed) == (len(NAMES), 0, ())


def test_what_is_other_or_changed_is_counted(serial: dict[str, Answer], monkeypatch: pytest.MonkeyPatch) -> None:
    def run(names: object) -> list[Answer]:
        monkeypatch.setattr(nn.Module, "patched", True, raising=False)
        return [(*serial[name][:-1], 0.0) if name == "bert" else serial[name] for name in NAMES]

    before = surface()
    found = check("made", run, len(NAMES), serial)
    assert found.other == 1 and found.changed
    monkeypatch.undo()
    assert surface() == before


def test_training_tells_what_it_saw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: x.double())
    with training() as wrong:
        threading.Event().wait(1.0)
    assert wrong


def _load(done: Path) -> None:
    load_transformers("AutoConfig")
    done.touch()


def test_a_child_does_not_wait_for_a_lock_that_another_thread_had(tmp_path: Path) -> None:
    load_transformers("AutoConfig")
    held = threading.Event()

    def hold() -> None:
        with LIBRARY:
            held.set()
            threading.Event().wait(0.5)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(20)
    child = multiprocessing.get_context("fork").Process(target=_load, args=(tmp_path / "done",), daemon=True)
    child.start()
    child.join(20)
    child.kill()
    thread.join(60)
    assert (tmp_path / "done").exists()


def _compare_switches(done: Path, enter: object) -> None:
    if gc.isenabled() and torch.amp.autocast_mode.autocast.__enter__ is enter:
        done.touch()


def test_a_child_has_the_switches_that_another_thread_had_thrown_back_again(tmp_path: Path) -> None:
    enter = torch.amp.autocast_mode.autocast.__enter__
    thrown, over = threading.Event(), threading.Event()

    def throw() -> None:
        with without_collections(), autocast_as_on_a_gpu():
            thrown.set()
            over.wait(60)

    thread = threading.Thread(target=throw)
    thread.start()
    thrown.wait(20)
    assert not gc.isenabled()
    target = (tmp_path / "done", enter)
    child = multiprocessing.get_context("fork").Process(target=_compare_switches, args=target, daemon=True)
    child.start()
    child.join(20)
    child.kill()
    over.set()
    thread.join(60)
    assert (tmp_path / "done").exists() and gc.isenabled()


def _predict_with_threads(done: Path) -> None:
    torch.set_num_threads(2)
    answer("t5")
    if torch.get_num_threads() == 2:
        done.touch()


def test_a_child_does_not_wait_for_the_threads_that_torch_shared_work_with(tmp_path: Path) -> None:
    """It reads positions on the CPU, where torch would share even small work."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        torch.ones(1000, 1000).log()  # they are started
    finally:
        torch.set_num_threads(before)
    args = (tmp_path / "done",)
    child = multiprocessing.get_context("fork").Process(target=_predict_with_threads, args=args, daemon=True)
    child.start()
    child.join(40)
    child.kill()
    assert (tmp_path / "done").exists()


def _predict(done: Path) -> None:
    answer("module")
    done.touch()


def test_a_child_does_not_wait_for_torchs_generator_that_another_thread_drew_from(tmp_path: Path) -> None:
    answer("module")
    stop = threading.Event()

    def draw() -> None:  # holds the lock of the generator nearly all the time
        while not stop.is_set():
            torch.randn(10**6)

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        for n in range(3):
            stop.wait(0.01)
            child = multiprocessing.get_context("fork").Process(target=_predict, args=(tmp_path / f"{n}",), daemon=True)
            child.start()
            child.join(20)
            child.kill()
    finally:
        stop.set()
        thread.join(60)
    assert all((tmp_path / f"{n}").exists() for n in range(3))
