"""A lock is held by one process at a time, and a killed one leaves none behind."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from irene.errors import BadInput, CannotWrite
from irene.locks import hold_lock

HOLD = (
    "import sys, time\nfrom pathlib import Path\nfrom irene.locks import hold_lock\n"
    "with hold_lock(Path(sys.argv[1]), 'no'):\n    print('held', flush=True)\n    time.sleep(60)\n"
)


def test_the_second_is_refused_by_name_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        with pytest.raises(BadInput, match=f"taken by process {other.pid}"), hold_lock(path, "taken by {holder}"):
            pass
        os.kill(other.pid, signal.SIGKILL)
    with hold_lock(path, "taken"), pytest.raises(BadInput, match="taken"), hold_lock(path, "taken"):
        pass
    assert not path.exists()


def test_many_threads_hold_it_one_by_one(tmp_path: Path) -> None:
    """Also where a holder removes the file while another is about to lock it."""
    inside, most, refused = [0], [0], [0]

    def work() -> None:
        for _ in range(200):
            try:
                with hold_lock(tmp_path / "a.lock", "taken"):
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                    inside[0] -= 1
            except BadInput:
                refused[0] += 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1]


def test_a_pipe_of_another_user_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "a.lock")
    really_open = os.open

    def only_read(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise PermissionError
        return really_open(path, flags, mode)

    monkeypatch.setattr(os, "open", only_read)
    with hold_lock(tmp_path / "a.lock", "taken"):
        pass


def test_a_place_for_no_lock(tmp_path: Path) -> None:
    with pytest.raises(CannotWrite, match="none"), hold_lock(tmp_path / "none" / "a.lock", "taken"):
        pass
    (tmp_path / "a.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotWrite), hold_lock(tmp_path / "a.lock", "taken"):
        pass
    assert not (tmp_path / "elsewhere").exists()
