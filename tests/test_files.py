"""Files are read within limits and written whole or not at all; a field that is wrong is named by its path."""

import errno
import gzip
import json
import os
import resource
import stat
import subprocess
import sys
import threading
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from irene.errors import BadDataset, BadInput, CannotWrite, NoSpace, UnknownName
from irene.fields import Field, open_fields
from irene.files import inflate, read_bytes, read_json, read_text, write_whole
from irene.quoting import escape_controls, quote


def test_what_is_no_plain_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in (tmp_path / "pipe", tmp_path, "/dev/zero"):
        with pytest.raises(BadInput, match="a directory, pipe or device|Is a directory"):
            read_bytes(name, "saved tree")
    with pytest.raises(BadDataset, match="Cannot read the table '.*none': No such file or directory"):
        read_bytes(tmp_path / "none", "table", BadDataset)
    with pytest.raises(BadInput, match="null"):
        read_bytes("a\0b")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**13)
    with pytest.raises(BadInput, match="has 10000000 MB; at most 268 MB are read"):
        read_bytes(tmp_path / "sparse")


def test_text_and_json(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')  # as an editor on Windows saves it
    assert read_json(path) == {"a": 1}
    for content, message in (
        (b"\xff", "no UTF-8 text: invalid start byte at byte 0"),
        (b'{"a": NaN}', "not JSON: NaN is no number"),
        (b"[" * 200_000, "nested too deeply"),
        (b"1" * 5000, "not JSON"),
    ):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=message) as caught:
            read_json(path)
        assert "\n" not in str(caught.value)
    path.write_text("x")
    assert read_text(path) == "x"


@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress])
def test_a_bomb_is_refused_before_it_is_unpacked(pack: Callable[[bytes], bytes]) -> None:
    is_gzip = pack is gzip.compress
    bomb = pack(bytes(50_000_000))
    with pytest.raises(BadInput, match="more than 1 MB: refused"):
        inflate(bomb, "The cell", most_bytes=1_000_000, gzip=is_gzip)
    assert inflate(pack(b"joules"), "The cell", gzip=is_gzip) == b"joules"
    with pytest.raises(BadInput, match="cut off"):
        inflate(bomb[:-9], "The cell", gzip=is_gzip)
    with pytest.raises(BadInput, match="cannot be unpacked"):
        inflate(b"no packed data", "The cell", gzip=is_gzip)
    if is_gzip:
        assert inflate(pack(b"a") + pack(b"b"), "The cell", gzip=True) == b"ab"


def test_a_file_appears_whole_with_its_rights_and_links(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    write_whole(path, "J\udcff")  # a name that is no UTF-8
    assert path.read_bytes() == b"J\\udcff"
    path.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(path)
    write_whole(link, b"new")
    assert link.is_symlink() and path.read_bytes() == b"new" and stat.S_IMODE(path.stat().st_mode) == 0o640
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]
    write_whole("/dev/null", b"gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)  # still a device
    with pytest.raises(NoSpace, match="'/dev/full': no space left"):
        write_whole("/dev/full", b"x")
    for place in (tmp_path, path / "below", "a\0b", tmp_path / ("n" * 300)):
        with pytest.raises(CannotWrite, match="Cannot write"):
            write_whole(place, b"x")


@pytest.mark.parametrize("step", ["write", "fsync", "replace"])
def test_a_full_disk_or_a_kill_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if step == "write":  # a limit of the system, as on a full disk: half of the bytes fit
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    else:
        monkeypatch.setattr(os, step, fail)
    try:
        with pytest.raises(NoSpace, match=r"a\.txt.*What was there is untouched"):
            write_whole(path, b"x" * 1000)
    finally:
        if step == "write":
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_who_reads_meanwhile_never_sees_half_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_whole(path, b"0" * 100_000)
    stop, odd = threading.Event(), []

    def watch() -> None:
        while not stop.is_set():
            content = path.read_bytes()
            if len(content) != 100_000 or len(set(content)) != 1:
                odd.append(content)

    reader = threading.Thread(target=watch)
    reader.start()
    for digit in b"123456789":
        write_whole(path, bytes([digit]) * 100_000)
    stop.set()
    reader.join(60)
    assert not odd


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda top: top["tree"]["children"].list()[1]["energy_j"].number(0), r"at tree.children\[1\].energy_j, exp"),
        (lambda top: top["tree"]["energy"], "at tree, expected a key 'energy', got the keys"),
        (lambda top: top["tree"].keys(["children"], ["name"]), "at tree, expected only the keys children, name"),
        (lambda top: top["count"].whole(1), "at count, expected a whole number of at least 1, got 0"),
        (lambda top: top["yes"].whole(), "at yes, expected a whole number"),
        (lambda top: top["yes"].number(), "at yes, expected a number, got True"),
        (lambda top: top["huge"].number(), "at huge, expected a number"),
        (lambda top: top["huge"].whole(), "at huge, expected a whole number"),
        (lambda top: top["count"].flag(), "at count, expected true or false"),
        (lambda top: top["name"].text(among=("a", "b")), "at name, expected one of 'a', 'b', got 'aaaa"),
        (lambda top: top["name"].text(), "at name, expected a text of at most 10000 characters, got 20000 characters"),
        (lambda top: top["half"].text(), "at half, expected a text that UTF-8 can write"),
        (lambda top: top["count"].text(), "at count, expected a text, got 0"),
        (lambda top: top["odd key\x1b"].list(3), r"at 'odd key\\x1b', expected a list of 3 values, got 2 values"),
        (lambda top: top["count"].list(), "at count, expected a list"),
        (lambda top: top["count"]["below"], "at count, expected an object"),
        (lambda top: top["count"].items(), "at count, expected an object"),
    ],
)  # fmt: skip
def test_a_wrong_field_is_named_by_its_path(tmp_path: Path, ask: Callable[[Field], object], message: str) -> None:
    content = {
        "tree": {"children": [{}, {"energy_j": "much"}], "extra": 1}, "count": 0, "yes": True, "huge": 10**400,
        "name": "a" * 20000, "half": "\ud800", "odd key\x1b": [1, 2],
    }  # fmt: skip
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(BadDataset, match=message) as caught:
        ask(open_fields(path, "file", BadDataset, "Save it again."))
    text = str(caught.value)
    assert text.startswith(str(path)) and text.endswith("Save it again.") and len(text) < 400 and text.isprintable()


def test_names_of_others_are_short_and_harmless_in_messages() -> None:
    assert quote("a\x1b]0;title\x07\u202e") == r"'a\x1b]0;title\x07\u202e'"
    assert len(quote("x" * 100_000)) < 100 and len(str(UnknownName("model", "x" * 100_000, ["a"]))) < 200
    assert escape_controls("\x9b31m\nplain é 漢\t", keep="\n\t") == "\\x9b31m\nplain é 漢\t"


def test_a_write_needs_no_other_package() -> None:
    code = "import sys, irene.files, irene.fields; assert not {'numpy', 'torch', 'pandas'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
