"""A stream goes through a server, in real time: batches back to back, or instances as they come.

Whatever ends it before its time, what was served until then is kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from irene.errors import ProgramFailed
from irene.scenarios.queueing import Served, next_batch
from irene.scenarios.servers import Server
from irene.scenarios.streams import Stream

Heard = Callable[[int, int], None]
"""Is told how many instances were served, and how many there are in one round."""


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What was served, of a stream that may have been repeated: `stream` is as long as all its rounds.

    `error` says what ended it before its end; '' where nothing did.
    """

    stream: Stream
    served: Served
    rounds: int
    error: str


class _Log:
    """Batches as they are served, from a common start."""

    def __init__(self) -> None:
        self.starts: list[int] = []
        self.sizes: list[int] = []
        self.began_s: list[float] = []
        self.ended_s: list[float] = []

    def served(self) -> Served:
        starts, sizes = (np.array(column, dtype=np.int64) for column in (self.starts, self.sizes))
        return Served(starts, sizes, np.array(self.began_s, dtype=np.float64), np.array(self.ended_s, dtype=np.float64))


def run_stream(
    stream: Stream,
    server: Server,
    *,
    least_s: float = 0.0,
    limit_s: float = float("inf"),
    heard: Heard = lambda done, of: None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Run:
    """Serve a stream, again and again until `least_s` have passed; no batch begins after `limit_s`.

    What the server raises as ProgramFailed, and Ctrl-C, end the run but not the program: they stand in its `error`.
    """
    log, error, rounds, offsets = _Log(), "", 0, [0.0]
    start_s = clock()
    try:
        while True:
            is_whole = _run_round(stream, server, log, rounds, offsets[-1], start_s, limit_s, heard, clock, sleep)
            rounds += 1
            if not is_whole:
                error = f"the time limit of {limit_s:g} s"
                break
            if log.ended_s[-1] >= least_s:
                server.finish()
                break
            offsets.append(log.ended_s[-1])
    except ProgramFailed as problem:
        error = str(problem)
    except KeyboardInterrupt:
        error = "interrupted"
    return Run(repeat_stream(stream, offsets), log.served(), rounds, error)


def _run_round(
    stream: Stream, server: Server, log: _Log, number: int, offset_s: float, start_s: float, limit_s: float,
    heard: Heard, clock: Callable[[], float], sleep: Callable[[float], None],
) -> bool:  # fmt: skip
    """Whether the whole round was served before the limit."""
    count, is_open = len(stream.tokens), stream.scenario.is_open
    arrival_s = (stream.arrival_s + offset_s).tolist() if is_open else []
    ends = iter(np.cumsum(stream.sizes).tolist())
    head = 0
    while head < count:
        if clock() - start_s > limit_s:
            return False
        if is_open:
            scenario, free_s = stream.scenario, clock() - start_s
            begin_s, after = next_batch(arrival_s, head, free_s, scenario.most, scenario.window_s)
            if begin_s > free_s:
                sleep(begin_s - free_s)
        else:
            after = next(ends)
        began_s = clock() - start_s
        server.serve(head, after)
        ended_s = clock() - start_s
        log.starts.append(number * count + head)
        log.sizes.append(after - head)
        log.began_s.append(began_s)
        log.ended_s.append(ended_s)
        heard(after, count)
        head = after
    return True


def repeat_stream(stream: Stream, offsets_s: list[float]) -> Stream:
    """The stream as many times as there are offsets; its arrivals begin anew at each."""
    rounds = len(offsets_s)
    arrival_s = np.concatenate([stream.arrival_s + offset_s for offset_s in offsets_s])
    tokens, new = np.tile(stream.tokens, rounds), np.tile(stream.new_tokens, rounds)
    return replace(stream, tokens=tokens, new_tokens=new, sizes=np.tile(stream.sizes, rounds), arrival_s=arrival_s)
