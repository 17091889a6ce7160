"""Memory of a recorded call: which storages are alive after each operator, from births and deaths of their tensors.

Tensors without data have sizes all the same. A storage is born with the first tensor over it and dies with the last;
the allocator's peak is the largest sum of what is alive.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from irene.primitives.call import Call
from irene.primitives.inner_memory import bytes_beyond_output, round_up


class Storages:
    """Watches over the storages that recorded calls make; `alive_bytes` is their sum now.

    Those of `given` tensors are none of them, though calls return views of them.
    """

    def __init__(self) -> None:
        self.alive_bytes = 0
        self._given: set[int] = set()
        self._tensors: dict[int, int] = {}  # of a storage: how many tensors
        self._watched: dict[int, weakref.ref[torch.Tensor]] = {}

    def leave_out(self, given: Iterable[torch.Tensor]) -> None:
        """Count no storage of these tensors, which live longer than the recording."""
        self._given.update(int(tensor.untyped_storage()._cdata) for tensor in given)

    def born(self, tensors: Iterable[torch.Tensor], kept: dict[int, int]) -> None:
        """Note what a call returned; `kept` are the keys of storages that outlive the call (weights)."""
        for tensor in tensors:
            if id(tensor) in self._watched or tensor.is_cpu:
                continue
            storage = tensor.untyped_storage()
            key = int(storage._cdata)
            if key in kept or key in self._given:
                continue
            size = round_up(storage.nbytes())
            if key not in self._tensors:
                self._tensors[key] = 0
                self.alive_bytes += size
            self._tensors[key] += 1
            self._watched[id(tensor)] = weakref.ref(tensor, self._on_death(id(tensor), key, size))

    def _on_death(self, tensor: int, key: int, size: int) -> Any:
        def forget(_: object) -> None:
            del self._watched[tensor]
            self._tensors[key] -= 1
            if not self._tensors[key]:
                del self._tensors[key]
                self.alive_bytes -= size

        return forget


def most_alive_bytes(calls: Iterable[Call], alive: Iterable[int]) -> int:
    """The most alive at any time of some calls, of which `alive` says what is after each; 0 for none.

    While a call runs, there is what it returns, and what it needs beyond that.
    """
    return max((after + bytes_beyond_output(call) for call, after in zip(calls, alive, strict=True)), default=0)


def count_stored_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the distinct storages behind some tensors, as the allocator serves them."""
    sizes = {int(t.untyped_storage()._cdata): t.untyped_storage().nbytes() for t in tensors}
    return sum(map(round_up, sizes.values()))


def count_cache_bytes(output: Any) -> int:
    """Bytes of the key-value cache in what a model of transformers returns; 0 where there is none."""
    cache = getattr(output, "past_key_values", None)
    return 0 if cache is None else count_stored_bytes(_tensors_of(cache, set()))


def tensors_in_caches(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    """Tensors that the caches among some values hold."""
    seen: set[int] = set()
    for value in values:
        if "cache" in type(value).__module__:
            yield from _tensors_of(value, seen)


def _tensors_of(value: Any, seen: set[int]) -> Iterator[torch.Tensor]:
    """Tensors in a cache: in lists, in its layers, and in the caches that it consists of."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors_of(item, seen)
    elif "cache" in type(value).__module__:
        yield from _tensors_of(vars(value), seen)
