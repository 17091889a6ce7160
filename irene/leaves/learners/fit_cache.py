"""Fitted regressors by the numbers that they were fitted on: folds that share rows share them, threads wait for one.

Processes share them too, once `share_fits` has named a folder.
"""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Generic, TypeVar

Fitted = TypeVar("Fitted")

_SHARED: list[Path] = []


def share_fits(folder: Path) -> None:
    """From here on keep what is fitted in `folder` as well, and read there what another process fitted.

    The files are pickles: the folder must be the run's own, and nobody else's to write to.
    """
    _SHARED[:] = [folder]


class FitCache(Generic[Fitted]):
    """At most so many of what was fitted last, by key; shared among processes where it is to be, see `share_fits`.

    >>> fits = FitCache(2)
    >>> fits.get("a", lambda: 1), fits.get("a", lambda: 2)
    (1, 1)
    """

    def __init__(self, most: int, is_shared: bool = False) -> None:
        self._most = most
        self._is_shared = is_shared
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
                future.set_result(_fit_or_read(key, fit) if self._is_shared else fit())
            except BaseException as error:
                with self._lock:
                    self._known.pop(key, None)
                future.set_exception(error)
        return future.result()


def _fit_or_read(key: object, fit: Callable[[], Fitted]) -> Fitted:
    if not _SHARED or not _SHARED[0].is_dir():  # a worker outlives the run whose folder this was
        return fit()
    path = _SHARED[0] / hashlib.sha256(repr(key).encode()).hexdigest()
    if path.exists():
        read: Fitted = pickle.loads(path.read_bytes())
        return read
    fitted = fit()
    part = path.with_name(f"{path.name}.{os.getpid()}.{threading.get_ident()}")
    part.write_bytes(pickle.dumps(fitted))
    part.replace(path)  # at once: who reads finds all of it or nothing
    return fitted
