"""Any Python function as a server: `module:function`, called with a list of instances, answers a list of replies."""

from __future__ import annotations

import importlib
import os
import platform
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from irene.errors import BadInput, ProgramFailed, in_one_line
from irene.quoting import quote
from irene.scenarios.processes import read_peak_memory
from irene.scenarios.servers import count_words, make_texts
from irene.scenarios.streams import Stream

_NAME = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_callable_name(text: str) -> bool:
    """Whether a text is `module:function`, as no model is called.

    >>> is_callable_name("my_package.models:answer"), is_callable_name("bert-base-uncased+layers:6")
    (True, False)
    """
    return _NAME.fullmatch(text) is not None


class CallableServer:
    """A function by its name, found on the path or below the working directory, or a function itself.

    Raises BadInput where there is none; ProgramFailed where it raises, takes longer than `reply_limit_s`, or answers
    another number of replies than it got instances.
    """

    parameters: int | None = None
    device_memory_bytes: int | None = None

    def __init__(self, function: str | Callable[..., Any], *, reply_limit_s: float = 600.0) -> None:
        self._function = _find(function) if isinstance(function, str) else function
        self.name = function if isinstance(function, str) else getattr(function, "__qualname__", "function")
        self.device = platform.machine()
        self.settings: dict[str, Any] = {"reply_limit_s": reply_limit_s}
        self._limit_s, self._words = reply_limit_s, 0
        self._instances: list[dict[str, Any]] = []

    def warm_up(self, stream: Stream) -> Stream:
        self._instances = make_texts(stream)
        self.serve(max(0, len(self._instances) - stream.scenario.most), len(self._instances))
        self._words = 0
        return stream

    def serve(self, first: int, after: int) -> None:
        try:
            with _limit(self._limit_s, self.name):
                replies = list(self._function(self._instances[first:after]))
        except ProgramFailed:
            raise
        except Exception as error:  # whatever it raises
            raise ProgramFailed(f"{quote(self.name)} raised {in_one_line(error)}") from None
        if len(replies) != after - first:
            raise ProgramFailed(f"{quote(self.name)} answered {len(replies)} of {after - first} instances.")
        self._words += count_words(replies)

    def finish(self) -> None:
        """Nothing shows only at the end."""

    def count_words(self) -> int | None:
        return self._words

    def peak_host_memory_bytes(self) -> int | None:
        return read_peak_memory(os.getpid())

    def close(self) -> None:
        """Nothing to give back."""


def _find(name: str) -> Callable[..., Any]:
    module_name, _, path = name.partition(":")
    sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as problem:
        raise BadInput(f"Cannot find {quote(name)}: {problem}. Expected module:function.") from None
    finally:
        sys.path.remove(os.getcwd())
    if not callable(found):
        raise BadInput(f"{quote(name)} is a {type(found).__name__}, and cannot be called.")
    return found  # type: ignore[no-any-return]


@contextmanager
def _limit(seconds: float, name: str) -> Iterator[None]:
    """Raise ProgramFailed in Python code that takes longer; only the main thread of a process can be stopped so."""
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: object) -> None:
        raise ProgramFailed(f"{quote(name)} gave no reply within {seconds:g} s.")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
