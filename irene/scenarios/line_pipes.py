"""A child's three pipes, none of which ever blocks: bytes go in, whole lines come out, and every wait has an end."""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from irene.errors import BadInput
from irene.quoting import quote
from irene.scenarios.processes import end_family

_CHUNK = 2**16
_KEPT = 4000  # bytes of standard error: its last words
MOST_LINE_BYTES = 32 * 2**20


class LinePipes:
    """A program with its standard streams. `on_line` gets each line of standard output, without its end.

    Raises BadInput where it cannot be started.
    """

    def __init__(self, command: Sequence[str], on_line: Callable[[bytes], None]) -> None:
        try:
            self.child: subprocess.Popen[bytes] = subprocess.Popen(
                list(command), bufsize=0, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
        except (OSError, ValueError) as problem:
            reason = getattr(problem, "strerror", None) or problem
            raise BadInput(f"Cannot start the program {quote(' '.join(command))}: {reason}.") from None
        self.last_words = b""
        self.is_open = True  # until standard output ends
        self.longest = 0  # bytes of a line that has not ended
        self._on_line = on_line
        self._outgoing, self._incoming = bytearray(), bytearray()
        self._selector = selectors.DefaultSelector()
        assert self.child.stdin and self.child.stdout and self.child.stderr
        self._stdin = self.child.stdin.fileno()
        for stream in (self.child.stdin, self.child.stdout, self.child.stderr):
            os.set_blocking(stream.fileno(), False)
        self._selector.register(self.child.stdout.fileno(), selectors.EVENT_READ, data=True)
        self._selector.register(self.child.stderr.fileno(), selectors.EVENT_READ, data=False)
        self._has_ended = False

    def send(self, line: bytes) -> None:
        """Queue a line; `wait` writes it."""
        if not self._outgoing and self.child.stdin is not None and not self.child.stdin.closed:
            self._selector.register(self._stdin, selectors.EVENT_WRITE)
        self._outgoing += line + b"\n"

    def wait(self, until: Callable[[], bool], limit_s: float) -> bool:
        """Write and read until `until()` says so; False where the time is over, or nothing more will come."""
        end_s = time.monotonic() + limit_s
        while not until():
            left_s = end_s - time.monotonic()
            if not self.is_open or left_s < 0:
                return False
            for key, _ in self._selector.select(min(left_s, 1.0)):
                self._serve(key)
        return True

    def drain(self) -> None:
        """Take what has come, without waiting."""
        for key, _ in self._selector.select(0):
            self._serve(key)

    def finish(self, limit_s: float) -> None:
        """Say that nothing more will be sent, and take what still comes, for so long at most."""
        self._close_stdin()
        self.wait(lambda: False, limit_s)

    def end(self) -> int | None:
        """End the program and all that it started; returns its status."""
        if self._has_ended:
            return self.child.returncode
        self._has_ended = True
        self._close_stdin()
        end_family(self.child)
        self._selector.close()
        for stream in (self.child.stdout, self.child.stderr):
            if stream is not None:
                stream.close()
        return self.child.returncode

    def _serve(self, key: selectors.SelectorKey) -> None:
        if key.fd == self._stdin:
            self._write()
            return
        with suppress(BlockingIOError):
            chunk = os.read(key.fd, _CHUNK)
            if not chunk:
                self._selector.unregister(key.fd)
                self.is_open = self.is_open and not key.data
            elif key.data:
                self._take(chunk)
            else:
                self.last_words = (self.last_words + chunk)[-_KEPT:]

    def _write(self) -> None:
        try:
            written = os.write(self._stdin, self._outgoing[:_CHUNK])
            del self._outgoing[:written]
        except BlockingIOError:
            return
        except OSError:  # it reads no more; what it still says is read
            self._outgoing.clear()
        if not self._outgoing:
            self._selector.unregister(self._stdin)

    def _take(self, chunk: bytes) -> None:
        self._incoming += chunk
        if b"\n" in chunk:
            *lines, rest = bytes(self._incoming).split(b"\n")
            self._incoming = bytearray(rest)
            for line in lines:
                self._on_line(line)
        self.longest = len(self._incoming)

    def _close_stdin(self) -> None:
        if self.child.stdin is not None and not self.child.stdin.closed:
            with suppress(KeyError, ValueError):
                self._selector.unregister(self._stdin)
            with suppress(OSError):
                self.child.stdin.close()
