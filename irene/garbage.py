"""Python's collection of garbage, off for a while: it walks over all that is alive, and finds nothing in trees."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager

_off: set[object] = set()  # one for each block that has switched it off and is not done


@contextmanager
def without_collections() -> Iterator[None]:
    """Thousands of small values are made, none in circles: looking for circles would cost a third of the time.

    Afterwards it is on again where it was on before; in a child that another thread forks meanwhile it is on at once.
    """
    block = object()
    try:
        if gc.isenabled():
            _off.add(block)
            gc.disable()
        yield
    finally:
        if block in _off:
            _off.discard(block)
            gc.enable()


def _switch_on() -> None:
    """In a forked child: the thread that would have done it is not there."""
    if _off:
        _off.clear()
        gc.enable()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_switch_on)
