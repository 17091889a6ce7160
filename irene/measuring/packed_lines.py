"""A file of lines, packed as its name ends: `.xz` is a third smaller, any other is gzip, which more programs read."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Iterable
from pathlib import Path

from irene.files import inflate, inflate_xz, read_bytes, write_whole

_XZ = ".xz"


def read_packed_lines(path: Path, what: str) -> list[bytes]:
    """The lines of a file, the last one empty; `what` it should be is for the message. Raises BadInput."""
    packed = read_bytes(path, what)
    text = inflate_xz(packed, str(path)) if path.suffix == _XZ else inflate(packed, str(path), gzip=True)
    return text.split(b"\n")


def write_packed_lines(path: Path, lines: Iterable[str]) -> None:
    """Write lines, whole or not at all; equal lines give equal bytes."""
    text = "".join(f"{line}\n" for line in lines).encode()
    packed = lzma.compress(text, preset=9 | lzma.PRESET_EXTREME) if path.suffix == _XZ else gzip.compress(text, mtime=0)
    write_whole(path, packed)
