"""One process at a time: a lock that the system gives back when its holder ends; and locks of threads over a fork."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from irene.errors import BadInput
from irene.files import cannot_write


def hold_over_fork(lock: Any) -> Any:
    """The lock, which a forking thread takes first: its child would wait for ever for one that another thread had.

    What the lock guards is then as it should be in the child, too: no file half loaded, no switch half way.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(before=lock.acquire, after_in_parent=lock.release, after_in_child=lock.release)
    return lock


@contextmanager
def hold_lock(path: Path, refusal: str) -> Iterator[None]:
    """Hold the lock file `path` for a block; it is made, and removed afterwards.

    A killed holder leaves only the file, never the lock. Raises `BadInput` with `refusal` and the holder's process id
    if another process (or this one) holds it.
    """
    import fcntl  # here: prediction must also work where there is none

    while True:
        descriptor = _open(path)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = os.read(descriptor, 20).decode("ascii", "replace").strip()
                raise BadInput(refusal.format(holder=f"process {holder or 'unknown'}")) from None
            except OSError as problem:
                raise cannot_write(path, problem) from None
            if not _is_same_file(descriptor, path):  # its holder removed it between our two steps
                continue
            with suppress(OSError):  # the file of another user, who was killed: its lock is all that counts
                os.truncate(descriptor, 0)
                os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            try:
                yield
            finally:
                with suppress(OSError):
                    path.unlink()
            return
        finally:
            os.close(descriptor)


def _open(path: Path) -> int:
    flags = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe of that name would hold whoever opens it
    try:
        try:
            return os.open(path, flags | os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:
            return os.open(path, flags | os.O_RDONLY)
    except OSError as problem:
        raise cannot_write(path, problem) from None


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
