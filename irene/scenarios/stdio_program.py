"""Any program that speaks the Pentathlon's protocol: a JSON list of instances in, one of replies out, a line each.

In the offline scenario it gets one object, {"offline_data_path", "offline_output_path", "limit"}, and says by three
lines when it has loaded, when it is done, and when its outputs are written (JSON lines both). Other lines are ignored.
The three are those of the published library (efficiency-pentathlon, `stdio_wrapper.py`), misspelt as there, or not.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from irene.errors import BadInput, IreneError, ProgramFailed
from irene.quoting import quote
from irene.scenarios.line_pipes import MOST_LINE_BYTES, LinePipes
from irene.scenarios.processes import read_peak_memory
from irene.scenarios.servers import count_words, make_texts
from irene.scenarios.streams import Stream

LOADED = b"Model and data loaded. Start the timer."
DONE = (b"Offiline prediction done. Stop the timer.", b"Offline prediction done. Stop the timer.")
WRITTEN = (b"Offiline outputs written. Exit.", b"Offline outputs written. Exit.")
GAVE_UP = b"Efficiency benchmark exception: SubprocessError"
REPLY_LIMIT_S = 600.0
LOAD_S = 60.0
_MOST_IGNORED = 8 * 2**20
_LAST_S = 2.0  # for a program to end after its last reply


class StdioProgram:
    """A program as a server. `warm_up` starts it; it has `reply_limit_s` for each reply, a minute at least to load.

    Raises BadInput where it cannot be started; ProgramFailed where it dies, hangs, floods, or answers another number
    of instances than it was asked.
    """

    parameters: int | None = None
    device_memory_bytes: int | None = None

    def __init__(self, command: Sequence[str], *, reply_limit_s: float = REPLY_LIMIT_S, device: str = "") -> None:
        if not command:
            raise BadInput("A program is a command line with a word at least, got none.")
        self.name, self.device = " ".join(command), device
        self.settings: dict[str, Any] = {"reply_limit_s": reply_limit_s}
        self._command, self._limit_s, self._reply_limit_s = list(command), max(reply_limit_s, LOAD_S), reply_limit_s
        self._replies: list[list[Any]] = []
        self._said: list[bytes] = []
        self._ignored = self._words = self._served = 0
        self._peak: int | None = None
        self._pipes: LinePipes | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._instances: list[dict[str, Any]] = []

    def warm_up(self, stream: Stream) -> Stream:
        self._instances = make_texts(stream)
        self._pipes = LinePipes(self._command, self._take)
        if stream.scenario.name == "offline":
            self._load_offline()
            self._limit_s = self._reply_limit_s
            return replace(stream, sizes=np.array([len(self._instances)], dtype=np.int64))
        size = min(stream.scenario.most, len(self._instances))
        self.serve(len(self._instances) - size, len(self._instances))  # the last batch first, as the library does
        self._words, self._served, self._limit_s = 0, 0, self._reply_limit_s
        return stream

    def serve(self, first: int, after: int) -> None:
        if self._folder is not None:
            self._wait(lambda: any(line in DONE for line in self._said), "ended no offline prediction")
            return
        pipes = self._running()
        pipes.drain()
        self._refuse_second_reply()
        self._ignored = 0
        pipes.send(json.dumps(self._instances[first:after]).encode())
        self._wait(lambda: bool(self._replies), "gave no reply")
        reply = self._replies.pop(0)
        if len(reply) != after - first:
            raise self._failed(f"answered {len(reply)} of {after - first} instances")
        self._words += count_words(reply)
        self._served += after - first

    def finish(self) -> None:
        if self._folder is not None:
            self._finish_offline(Path(self._folder.name))
        self._note_memory()
        self._running().finish(_LAST_S)
        self._refuse_second_reply()

    def count_words(self) -> int | None:
        return self._words

    def peak_host_memory_bytes(self) -> int | None:
        self._note_memory()
        return self._peak

    def close(self) -> None:
        if self._pipes is not None:
            self._pipes.end()
        if self._folder is not None:
            self._folder.cleanup()

    def _load_offline(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="irene-bench-")
        data, outputs = (Path(self._folder.name) / name for name in ("data.json", "outputs.json"))
        data.write_text("".join(json.dumps(instance) + "\n" for instance in self._instances), encoding="utf-8")
        asked = {"offline_data_path": str(data), "offline_output_path": str(outputs), "limit": len(self._instances)}
        self._running().send(json.dumps(asked).encode())
        self._wait(lambda: LOADED in self._said, f"did not say {LOADED.decode()!r}")

    def _finish_offline(self, folder: Path) -> None:
        self._wait(lambda: any(line in WRITTEN for line in self._said), "did not say that its outputs are written")
        path = folder / "outputs.json"
        try:
            replies = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        except (OSError, ValueError) as problem:
            raise self._failed(f"wrote no outputs that can be read ({problem})") from None
        if len(replies) != len(self._instances):
            raise self._failed(f"wrote {len(replies)} outputs for {len(self._instances)} instances")
        self._words = count_words(replies)

    def _take(self, line: bytes) -> None:
        text = line.strip()
        if text.startswith(b"["):
            try:
                self._replies.append(json.loads(text))
                return
            except (ValueError, RecursionError):
                pass
        if text in (LOADED, GAVE_UP, *DONE, *WRITTEN):
            self._said.append(text)
        self._ignored += len(line) + 1

    def _wait(self, until: Any, what: str) -> None:
        pipes = self._running()

        def is_over() -> bool:
            if self._ignored > _MOST_IGNORED or pipes.longest > MOST_LINE_BYTES:
                raise self._failed(
                    f"wrote more than {_MOST_IGNORED / 2**20:.0f} MiB to standard output that are no reply"
                )
            return bool(until()) or GAVE_UP in self._said

        is_it = pipes.wait(is_over, self._limit_s)
        if GAVE_UP in self._said:
            pipes.finish(_LAST_S)
            raise self._failed("said that it failed")
        if is_it:
            return
        if pipes.is_open:
            raise self._failed(f"{what} within {self._limit_s:g} s")
        self._note_memory()
        status = pipes.end()
        how = f"was ended by signal {-status}" if status is not None and status < 0 else f"ended with status {status}"
        raise self._failed(f"{what}: it {how}")

    def _refuse_second_reply(self) -> None:
        if self._replies:
            raise self._failed("answered twice: a list came that nobody had asked for")

    def _failed(self, what: str) -> IreneError:
        words = b"" if self._pipes is None else self._pipes.last_words
        lines = words.decode("utf-8", "replace").strip().splitlines()
        last = f" Its last words: {quote(lines[-1], 200)}." if lines else ""
        return ProgramFailed(f"The program {quote(self.name)} {what}, after {self._served} instances.{last}")

    def _running(self) -> LinePipes:
        if self._pipes is None:
            raise ValueError("a program serves after its warm-up")
        return self._pipes

    def _note_memory(self) -> None:
        if self._pipes is not None and self._pipes.child.poll() is None:
            now = read_peak_memory(self._pipes.child.pid)
            self._peak = now if self._peak is None or (now or 0) > self._peak else self._peak
