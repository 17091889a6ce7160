"""Collectives as operators of torch: recorded like any other call, without data here, over a process group elsewhere.

torch's own keep the number of ranks in a process group, which a trace on one machine has not. These have it in the
call, need no group on meta tensors, and touch none: whatever group a caller has open stays as it is.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

_IN_PLACE, _NEW = "(Tensor(a!) x, int ranks) -> Tensor(a!)", "(Tensor x, int ranks) -> Tensor"
_SCHEMAS = {
    "all_reduce_": _IN_PLACE, "broadcast_": _IN_PLACE, "send_receive_": _IN_PLACE, "all_gather": _NEW,
    "reduce_scatter": _NEW, "all_to_all": _NEW,
}  # fmt: skip


@cache
def collective_ops() -> Any:
    """The operators `torch.ops.collective`, defined when first asked for.

    >>> x = torch.empty(4, 8, device="meta")
    >>> collective_ops().all_gather(x, 2).shape
    torch.Size([8, 8])
    """
    for name, schema in _SCHEMAS.items():
        torch.library.define(f"collective::{name}", schema)
        torch.library.impl(f"collective::{name}", "Meta", _ON_META.get(name, _same))
        torch.library.impl(f"collective::{name}", ("CPU", "CUDA"), _OVER_A_GROUP[name])
    return torch.ops.collective


def _same(x: torch.Tensor, ranks: int) -> torch.Tensor:
    return x


def _gathered(x: torch.Tensor, ranks: int) -> torch.Tensor:
    return x.new_empty((ranks * x.shape[0], *x.shape[1:]))


def _scattered(x: torch.Tensor, ranks: int) -> torch.Tensor:
    return x.new_empty((x.shape[0] // ranks, *x.shape[1:]))


_ON_META = {"all_gather": _gathered, "reduce_scatter": _scattered, "all_to_all": lambda x, ranks: torch.empty_like(x)}


def _all_reduce(x: torch.Tensor, ranks: int) -> torch.Tensor:
    torch.distributed.all_reduce(x)
    return x


def _broadcast(x: torch.Tensor, ranks: int) -> torch.Tensor:
    torch.distributed.broadcast(x, 0)
    return x


def _all_gather(x: torch.Tensor, ranks: int) -> torch.Tensor:
    made = _gathered(x, ranks)
    torch.distributed.all_gather_into_tensor(made, x.contiguous())
    return made


def _reduce_scatter(x: torch.Tensor, ranks: int) -> torch.Tensor:
    made = _scattered(x, ranks)
    torch.distributed.reduce_scatter_tensor(made, x.contiguous())
    return made


def _all_to_all(x: torch.Tensor, ranks: int) -> torch.Tensor:
    made = torch.empty_like(x)
    torch.distributed.all_to_all_single(made, x.contiguous())
    return made


def _send_receive(x: torch.Tensor, ranks: int) -> torch.Tensor:
    """From every even rank to the next one: half of the ranks send while the others receive."""
    rank = torch.distributed.get_rank()
    if rank % 2 == 0 and rank + 1 < ranks:
        torch.distributed.send(x, rank + 1)
    elif rank % 2:
        torch.distributed.recv(x, rank - 1)
    return x


_OVER_A_GROUP = {
    "all_reduce_": _all_reduce, "broadcast_": _broadcast, "send_receive_": _send_receive, "all_gather": _all_gather,
    "reduce_scatter": _reduce_scatter, "all_to_all": _all_to_all,
}  # fmt: skip
