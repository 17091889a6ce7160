"""Files at the doors: read within limits, and written whole or not at all.

A file that somebody names may be a pipe that never ends, a device, or a few bytes that unpack to a thousand times as
many; it is refused before it is read. What is written appears under its name when all of it is on the disk: a full disk
or a kill leaves the old file.
"""

from __future__ import annotations

import errno
import json
import lzma
import os
import secrets
import stat
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from irene.errors import BadInput, CannotWrite, NoSpace
from irene.quoting import quote

MOST_BYTES = 256 * 1024 * 1024
"""Of any one file, packed or unpacked: the largest that irene writes or knows (measured trees) has a tenth of it."""
_PATH = 300  # characters of a path in a message
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def read_bytes(
    path: str | Path, what: str = "file", error: type[BadInput] = BadInput, most_bytes: int = MOST_BYTES
) -> bytes:
    """The content of a plain file; `what` names its kind in messages.

    Raises `error` for a missing or unreadable file, for a pipe, device or directory, and for more than `most_bytes`.
    """
    try:
        # Without waiting: opening a pipe that nobody writes to would never end.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise error(
                    f"Cannot read the {what} {quote(str(path), _PATH)}: it is a directory, pipe or device; name a file."
                )
            if status.st_size > most_bytes:
                _refuse_size(what, path, status.st_size, most_bytes, error)
            content = file.read(most_bytes + 1)  # it may grow meanwhile
    except (OSError, ValueError) as problem:  # a ValueError is a name with a zero byte
        reason = getattr(problem, "strerror", None) or problem
        raise error(f"Cannot read the {what} {quote(str(path), _PATH)}: {reason}.") from None
    if len(content) > most_bytes:
        _refuse_size(what, path, len(content), most_bytes, error)
    return content


def read_text(
    path: str | Path, what: str = "file", error: type[BadInput] = BadInput, most_bytes: int = MOST_BYTES
) -> str:
    """The text of a plain UTF-8 file, with or without a byte order mark; raises as `read_bytes`."""
    try:
        return read_bytes(path, what, error, most_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        raise error(
            f"The {what} {quote(str(path), _PATH)} is no UTF-8 text: {problem.reason} at byte {problem.start}."
        ) from None


def read_json(
    path: str | Path, what: str = "file", error: type[BadInput] = BadInput, most_bytes: int = MOST_BYTES
) -> Any:
    """The value of a JSON file; NaN and infinity are no JSON. Raises as `read_bytes`."""
    return parse_json(read_text(path, what, error, most_bytes), f"The {what} {quote(str(path), _PATH)}", error)


def parse_json(text: str | bytes, where: str, error: type[BadInput] = BadInput) -> Any:
    """The value of a JSON text; `where` begins the message. Raises `error`."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise error(f"{where} is nested too deeply.") from None
    except ValueError as problem:  # also whole numbers of more digits than Python reads
        raise error(f"{where} is not JSON: {problem}.") from None


def inflate(
    packed: bytes, where: str, error: type[BadInput] = BadInput, most_bytes: int = MOST_BYTES, *, gzip: bool = False
) -> bytes:
    """Unpack zlib or gzip data. Raises `error` for damaged data, and for more than `most_bytes`, before it is there.

    >>> inflate(zlib.compress(b"joules"), "The cell")
    b'joules'
    """
    unpacked: list[bytes] = []
    left = most_bytes + 1
    try:
        while packed:
            engine = zlib.decompressobj(31 if gzip else 15)
            unpacked.append(engine.decompress(packed, left))
            left -= len(unpacked[-1])
            if left <= 0:
                raise error(f"{where} unpacks to more than {most_bytes / 1e6:.0f} MB: refused.")
            if not engine.eof:
                raise error(f"{where} is cut off: its packed data have no end.")
            packed = engine.unused_data.lstrip(b"\0") if gzip else b""  # gzip files may have several members
    except zlib.error as problem:
        raise error(f"{where} cannot be unpacked: {problem}.") from None
    return b"".join(unpacked)


def inflate_xz(packed: bytes, where: str, error: type[BadInput] = BadInput, most_bytes: int = MOST_BYTES) -> bytes:
    """Unpack xz data, as `inflate` does.

    >>> inflate_xz(lzma.compress(b"joules"), "The cell")
    b'joules'
    """
    engine = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_BYTES)
    try:
        unpacked = engine.decompress(packed, most_bytes + 1)
    except lzma.LZMAError as problem:
        raise error(f"{where} cannot be unpacked: {problem}.") from None
    if len(unpacked) > most_bytes:
        raise error(f"{where} unpacks to more than {most_bytes / 1e6:.0f} MB: refused.")
    if not engine.eof:
        raise error(f"{where} is cut off: its packed data have no end.")
    return unpacked


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write a file that appears whole or not at all; its folder is made. Text becomes UTF-8.

    A link stays one, and a device or pipe is written into. Raises `NoSpace` on a full disk, `CannotWrite` for a place
    that cannot be written.
    """
    write_together({Path(path): content})


def write_together(contents: Mapping[Path, str | bytes]) -> None:
    """Write files as `write_whole`, none before the last is on the disk; they appear in their order.

    A kill between two of them leaves new ones beside old ones: the last should tell whether the others are its own.
    """
    ready: list[tuple[Path, Path]] = []  # written beside its place, and its place
    path = Path()
    try:
        for path, content in contents.items():
            data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
            target = Path(os.path.realpath(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            mode = target.stat().st_mode if target.exists() else None
            if mode is not None and not stat.S_ISREG(mode):  # /dev/stdout must not become a file; a folder is an error
                with target.open("wb") as stream:
                    stream.write(data)
                continue
            beside = target.with_name(f".{secrets.token_hex(8)}.part")
            ready.append((beside, target))
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            if mode is not None:
                beside.chmod(stat.S_IMODE(mode))
        for beside, target in ready:
            os.replace(beside, target)
    except (OSError, ValueError) as problem:
        raise cannot_write(path, problem) from None
    finally:
        for beside, _ in ready:
            with suppress(OSError):
                beside.unlink(missing_ok=True)


def require_writable(folder: str | Path) -> None:
    """Make a folder, and raise now, not after minutes of work, where nothing can be written into it; as `write_whole`.

    >>> require_writable("/dev/null/bundle")
    Traceback (most recent call last):
    ...
    irene.errors.CannotWrite: Cannot write '/dev/null/bundle': Not a directory. Nothing was done. Choose another place.
    """
    folder = Path(folder)
    probe = folder / f".{secrets.token_hex(8)}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except (OSError, ValueError) as problem:
        raise cannot_write(folder, problem, "Nothing was done.") from None


def cannot_write(path: str | Path, problem: Exception, kept: str = "What was there is untouched.") -> CannotWrite:
    """The error for a failed write; `kept` says what is still there."""
    if isinstance(problem, OSError) and problem.errno in _NO_ROOM:
        why = "no space left" if problem.errno in (errno.ENOSPC, errno.EDQUOT) else problem.strerror
        return NoSpace(f"Cannot write {quote(str(path), _PATH)}: {why}. {kept} Free some space and start again.")
    reason = getattr(problem, "strerror", None) or problem
    return CannotWrite(f"Cannot write {quote(str(path), _PATH)}: {reason}. {kept} Choose another place.")


def _refuse_size(what: str, path: str | Path, size: int, most_bytes: int, error: type[BadInput]) -> NoReturn:
    raise error(
        f"The {what} {quote(str(path), _PATH)} has {size / 1e6:.0f} MB; at most {most_bytes / 1e6:.0f} MB are read. "
        "Is it the right file?"
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
