"""Fitted regressors by the numbers that they were fitted on: folds that share rows share them, threads wait for one."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Fitted = TypeVar("Fitted")


class FittedOnce(Generic[Fitted]):
    """At most so many of what was fitted last, by key.

    >>> blends = FittedOnce(2)
    >>> blends.get("a", lambda: 1), blends.get("a", lambda: 2)
    (1, 1)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: OrderedDict[object, Future[Fitted]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: object, fit: Callable[[], Fitted]) -> Fitted:
        """What was fitted under `key`; otherwise what `fit()` returns, while other threads that ask for it wait."""
        with self._lock:
            found = self._known.get(key)
            future = self._known.setdefault(key, Future())
            self._known.move_to_end(key)
            while len(self._known) > self._most:
                self._known.popitem(last=False)
        if found is None:
            try:
                future.set_result(fit())
            except BaseException as error:
                with self._lock:
                    self._known.pop(key, None)
                future.set_exception(error)
        return future.result()
