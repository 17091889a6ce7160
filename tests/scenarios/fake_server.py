"""A server that takes as long as it is told, on a clock of its own or in real time, and draws power while it serves."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from irene.scenarios.streams import Stream


class FakeServer:
    """`seconds(first, after)` says how long a batch takes; `fails_at` is the batch at which it raises `failure`."""

    name, device = "fake", "nothing"
    parameters: int | None = 7
    device_memory_bytes: int | None = 1000

    def __init__(
        self,
        seconds: Callable[[int, int], float],
        sleep: Callable[[float], None] = time.sleep,
        fails_at: int = -1,
        failure: BaseException | None = None,
    ) -> None:
        self.seconds, self.sleep, self.fails_at, self.failure = seconds, sleep, fails_at, failure
        self.settings: dict[str, Any] = {}
        self.batches: list[tuple[int, int]] = []
        self.busy: list[list[float]] = []
        self.is_closed = False

    def warm_up(self, stream: Stream) -> Stream:
        return stream

    def serve(self, first: int, after: int) -> None:
        if len(self.batches) == self.fails_at and self.failure is not None:
            raise self.failure
        self.batches.append((first, after))
        self.busy.append([time.monotonic(), float("inf")])
        self.sleep(self.seconds(first, after))
        self.busy[-1][1] = time.monotonic()

    def energy_j(self, until_s: float) -> float:
        """300 W while it serves, 100 W else, from time 0 of the monotonic clock on."""
        busy_s = sum(min(end, until_s) - begin for begin, end in list(self.busy) if begin < until_s)
        return 100.0 * until_s + 200.0 * busy_s

    def finish(self) -> None:
        pass

    def count_words(self) -> int | None:
        return None

    def peak_host_memory_bytes(self) -> int | None:
        return 2000

    def close(self) -> None:
        self.is_closed = True
