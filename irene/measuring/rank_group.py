"""The ranks of one host as a group: what they tell each other beside what is measured, over the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from irene.errors import IreneError, in_one_line

Value = TypeVar("Value")
PATIENCE_S = 600.0
"""So long a rank waits for another one that says nothing, and then ends: building the largest models takes minutes."""


@dataclass(frozen=True, slots=True)
class RankGroup:
    """A rank among `size`; `control` is a process group on the CPU, None for a rank that is alone."""

    rank: int
    size: int
    control: Any = None

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def agree(self, value: Value) -> Value:
        """What the first rank says, on every rank."""
        if self.size == 1:
            return value
        said = [value]
        distributed.broadcast_object_list(said, 0, group=self.control)
        return said[0]

    def gather(self, value: Value) -> list[Value]:
        """What each rank says, in their order, on every rank."""
        if self.size == 1:
            return [value]
        said: list[Any] = [None] * self.size
        distributed.all_gather_object(said, value, group=self.control)
        return said

    def together(self, make: Callable[[], Value]) -> Value:
        """What `make` returns here; if it fails on any rank, all raise RankFailed with the first reason.

        It must not wait for another rank after it may have failed.
        """
        made: Value | None = None
        reason = ""
        try:
            made = make()
        except Exception as error:  # a model's own code may raise anything
            reason = in_one_line(error, 300)
            if isinstance(error, torch.cuda.OutOfMemoryError):
                torch.cuda.empty_cache()
        reasons = [text for text in self.gather(reason) if text]
        if reasons:
            raise RankFailed(reasons[0])
        return made  # type: ignore[return-value]


class RankFailed(IreneError):
    """A case that could not be prepared or measured on some rank; all go on with the next one."""


def open_group(rank: int, size: int, store_path: str, device: torch.device) -> RankGroup:
    """Join the ranks that meet at a file: NCCL between GPUs, gloo between processors, and gloo to talk."""
    timeout = timedelta(seconds=PATIENCE_S)
    torch_distributed: Any = distributed
    store = torch_distributed.FileStore(store_path, size)
    backend = "nccl" if device.type == "cuda" else "gloo"
    options: dict[str, Any] = {"device_id": device} if device.type == "cuda" else {}
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=timeout, **options)
    control = distributed.new_group(backend="gloo", timeout=timeout) if backend != "gloo" else None
    return RankGroup(rank, size, control)
