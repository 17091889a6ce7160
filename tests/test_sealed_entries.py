"""Entries are whole or not there: damage, kills and many processes at once make none that is wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from irene.sealed_entries import SealedEntries

MOST = 1_000_000


def entries_in(folder: Path, most_bytes: int = MOST) -> SealedEntries:
    return SealedEntries(folder / "trees", most_bytes)


def files_of(folder: Path) -> list[Path]:
    return sorted((folder / "trees").iterdir())


def test_any_damage_is_seen(tmp_path: Path) -> None:
    entries = entries_in(tmp_path)
    entries.write("key", "value " * 50)
    (path,) = files_of(tmp_path)
    whole = path.read_bytes()
    for at in range(len(whole)):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert entries.read("key") is None
        path.write_bytes(whole[:at])
        assert entries.read("key") is None
    path.write_bytes(whole)
    assert entries.read("key") == "value " * 50


def test_an_entry_of_another_key_is_none(tmp_path: Path) -> None:
    entries = entries_in(tmp_path)
    entries.write("one", "1")
    (path,) = files_of(tmp_path)
    path.rename(entries._path("two"))
    assert entries.read("two") is None


def test_the_folder_stays_small_and_keeps_what_was_used_last(tmp_path: Path) -> None:
    entries = entries_in(tmp_path, most_bytes=20_000)
    texts = {str(number): os.urandom(2000).hex() for number in range(12)}
    for number, (key, text) in enumerate(texts.items()):
        entries.write(key, text)
        os.utime(entries._path(key), ns=(number, number))
        assert entries.read("0") == texts["0"]
    assert sum(path.stat().st_size for path in files_of(tmp_path)) <= 20_000
    assert entries.read("11") == texts["11"] and entries.read("1") is None


@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_a_kill_while_writing_leaves_no_broken_entry(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from irene.sealed_entries import SealedEntries\n"
        "entries = SealedEntries(Path(sys.argv[1]) / 'trees', 10**8)\n"
        "print('ready', flush=True)\n"
        "while True:\n    for key in 'abc': entries.write(key, key * 300_000)\n"
    )
    for delay_s in (0.0, 0.01, 0.03, 0.1):
        with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(delay_s)
            writer.send_signal(signal.SIGKILL)
            writer.wait(timeout=60)
        entries = entries_in(tmp_path, 10**8)
        for key in "abc":
            assert entries.read(key) in (None, key * 300_000)
    entries.write("a", "new")
    assert entries.read("a") == "new"


def test_many_processes_read_and_write_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from irene.sealed_entries import SealedEntries\n"
        "entries = SealedEntries(Path(sys.argv[1]) / 'trees', 30_000)\n"
        "for turn in range(40):\n"
        "    for key in 'abcdef':\n"
        "        assert entries.read(key) in (None, key * 9000), key\n"
        "        entries.write(key, key * 9000)\n"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)]) for _ in range(3)]
    assert [process.wait(timeout=120) for process in running] == [0, 0, 0]


def test_a_folder_that_cannot_be_written_is_an_empty_one(tmp_path: Path) -> None:
    (tmp_path / "trees").write_text("a file")
    entries = entries_in(tmp_path)
    entries.write("key", "value")
    assert entries.read("key") is None
