"""Processes that answer questions, each within its time: one that takes longer is ended and replaced."""

from __future__ import annotations

import asyncio
import multiprocessing
from typing import Any

from irene.web.answering import Answer, answer, prepare_worker
from irene.web.question import Question

_BUSY = "Too many questions are waiting; ask again in a minute."


class Workers:
    """A pool of `count` processes; at most `most_waiting` questions wait for one, and each is answered in `limit_s`.

    Needs `pebble`, which ends the process of a call that takes too long, as no pool of the standard library does.
    """

    def __init__(self, *, count: int = 2, limit_s: float = 60.0, most_waiting: int = 32) -> None:
        from pebble import ProcessPool

        # A fork would copy the server's threads and locks.
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPool(max_workers=count, initializer=prepare_worker, context=context)
        self._limit_s = limit_s
        self._most = count + most_waiting
        self._pending = 0

    async def ask(self, question: Question, form: str) -> Answer:
        """The answer in a form ('html' or 'json'): 503 where too many wait, 504 past the time, 500 if a worker died."""
        if self._pending >= self._most:
            return Answer(503, _BUSY)
        self._pending += 1
        try:
            future: Any = self._pool.schedule(answer, args=[question, form], timeout=self._limit_s)
            return await asyncio.wrap_future(future)
        except TimeoutError:
            return Answer(504, f"No answer in {self._limit_s:g} s. Ask for a smaller model, batch or length.")
        except asyncio.CancelledError:
            future.cancel()  # who asked has left
            raise
        except Exception as problem:  # the worker died, or met a bug: the server goes on
            return Answer(500, f"A worker failed ({type(problem).__name__}). Ask for something smaller, or report it.")
        finally:
            self._pending -= 1

    def close(self) -> None:
        """End all workers, whatever they do."""
        self._pool.stop()
        self._pool.join()
