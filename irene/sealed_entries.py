"""A folder of sealed entries: what was computed once for a key, found again by any process, never half of it.

An entry is one file that appears whole, holds its own key and a digest over all of it, and is checked when it is read.
A folder that cannot be read or written is an empty one: what it would have held is computed again.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from irene.errors import BadInput
from irene.files import inflate, read_bytes, write_whole

_MARK = b"irene 1\n"
_DIGEST_BYTES = 32
_SUFFIX = ".entry"


@dataclass(frozen=True, slots=True)
class SealedEntries:
    """Texts by key in `folder`, together at most `most_bytes` on the disk: those that were used last.

    >>> import tempfile
    >>> entries = SealedEntries(Path(tempfile.mkdtemp()), most_bytes=1_000_000)
    >>> entries.write("2 + 2", "4")
    >>> entries.read("2 + 2"), entries.read("2 + 3")
    ('4', None)
    """

    folder: Path
    most_bytes: int

    def read(self, key: str) -> str | None:
        """What was written under a key; None where nothing was, or where it is damaged."""
        path = self._path(key)
        try:
            raw = read_bytes(path, "cache entry")
            body = raw[len(_MARK) + _DIGEST_BYTES :]
            if raw[: len(_MARK)] != _MARK or raw[len(_MARK) : len(_MARK) + _DIGEST_BYTES] != _digest(body):
                return None
            stored, _, text = inflate(body, "cache entry").decode().partition("\0")
        except (BadInput, UnicodeDecodeError):
            return None
        if stored != key:
            return None
        with suppress(OSError):
            os.utime(path)  # used last
        return text

    def write(self, key: str, text: str) -> None:
        """Keep a text under a key, and remove what was not used for longest where that is too much."""
        body = zlib.compress(f"{key}\0{text}".encode(), 1)
        with suppress(BadInput, OSError):
            if len(body) <= self.most_bytes:
                write_whole(self._path(key), _MARK + _digest(body) + body)
                self._prune()

    def _path(self, key: str) -> Path:
        return self.folder / f"{hashlib.sha256(key.encode()).hexdigest()}{_SUFFIX}"

    def _prune(self) -> None:
        found = []
        for entry in os.scandir(self.folder):
            # What a killed write left is a hidden file that ends otherwise: nobody reads it, and it goes in its turn.
            if entry.name.endswith((_SUFFIX, ".part")):
                with suppress(OSError):  # another process may just have removed it
                    status = entry.stat()
                    found.append((status.st_mtime_ns, status.st_size, entry.path))
        left = sum(size for _, size, _ in found)
        for _, size, path in sorted(found):
            if left <= self.most_bytes:
                break
            with suppress(OSError):
                os.unlink(path)
            left -= size


def _digest(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()
