"""Work of a forward that no recorder sees: done by another thread, or put off until somebody iterates. It is refused.

Modes belong to a thread. A module that is called in another one is found by its hook; other calls there by their
result: a tensor that no recorded call made and that was not there before.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence
from functools import partial
from threading import get_ident
from types import FunctionType, MethodType
from typing import Any

import torch
from torch.utils._pytree import tree_leaves

from irene.errors import Untraceable
from irene.tracing.encoding import storage_key

_ADVICE = "where nothing can be recorded. Trace a module whose forward stays in one thread."
_PUT_OFF = (Iterator, Awaitable, AsyncIterator, FunctionType, MethodType, partial)


class Strays:
    """Watches over one forward pass. `given` are all tensors that it starts from, where that is known."""

    def __init__(self, given: Iterable[torch.Tensor] | None) -> None:
        self.knows_tensors = given is not None
        self._thread = get_ident()
        self._found = ""
        # Held, as keys are given out again.
        self._storages = {storage_key(t): t.untyped_storage() for t in given or () if t.is_meta}

    @property
    def are_here(self) -> bool:
        """Whether this is the thread of the forward pass."""
        return get_ident() == self._thread

    def note_call(self, path: str) -> None:
        """Say that a module is called in another thread, where an error might be lost, or printed."""
        self._found = f"Module {path!r} is called in another thread than the model, {_ADVICE}"

    def made(self, tensors: Iterable[torch.Tensor]) -> None:
        """Note tensors that a recorded call returned."""
        for tensor in tensors:
            storage = tensor.untyped_storage()
            self._storages[int(storage._cdata)] = storage

    def check_operands(self, operands: Sequence[torch.Tensor], keys: Sequence[int], place: str) -> None:
        """Raise Untraceable where one of them was made elsewhere; `keys` are those of their storages."""
        for tensor, key in zip(operands, keys, strict=True):
            if key not in self._storages and tensor.is_meta:
                self._found = f"{place} got a tensor that another thread made, {_ADVICE}"
                raise Untraceable(self._found)

    def check_output(self, output: Any, place: str) -> None:
        """Raise Untraceable where the call that returned this did work elsewhere, or will do it later."""
        if self._found:  # said again: a model may have caught what was raised there
            raise Untraceable(self._found)
        for value in tree_leaves(output):
            if isinstance(value, _PUT_OFF):
                raise Untraceable(
                    f"{place} returns a {type(value).__name__}, whose work is done only while somebody iterates, "
                    "awaits or calls it. Trace a module whose forward does that itself."
                )
            if isinstance(value, torch.Tensor) and self.knows_tensors:
                self.check_operands([value], [storage_key(value)], place)
