"""Work of torch on the CPU in a forked child: done by the thread that asks, since torch's other threads are not there.

A child is born with one thread. The pool that torch shares its work with (OpenMP's) still counts the threads of the
parent, and waits for them for ever. torch's own loaders of data go on with one thread in their children, too.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Children of `multiprocessing` also where irene is first imported in the child; those that are spawned lose little.
_is_child = multiprocessing.parent_process() is not None


@contextmanager
def alone_in_a_child() -> Iterator[None]:
    """In a child torch uses this thread alone inside the block, and as many as before afterwards."""
    if not _is_child:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _note_child() -> None:
    global _is_child
    _is_child = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_child)
