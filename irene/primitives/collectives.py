"""Collectives: what ranks exchange in one call, how many bytes that puts on each rank's link, and in how many steps.

A leaf `collective.all_reduce_` is what `dist.all_reduce` does to one tensor; its last argument is the number of ranks,
which torch's own operators keep in a process group and not in the call. Bytes on the link are those of a ring, as
NCCL's tests count them ("bus bandwidth", NVIDIA/nccl-tests, doc/PERFORMANCE.md).
"""

from __future__ import annotations

from dataclasses import dataclass

from irene.errors import BadInput
from irene.primitives.call import Call, TensorSpec
from irene.primitives.kinds import COLLECTIVES, packet_of

REDUCING = ("all_reduce", "reduce_scatter")
MOST_RANKS = 1024
"""More GPUs than any host has."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One collective among `ranks`: the bytes that each rank sends over its link, and the steps one after the other.

    `payload_bytes` are those of the whole: what is reduced, what all ranks have after a gather, or before a scatter.
    """

    name: str
    ranks: int
    payload_bytes: int
    link_bytes: float
    steps: int

    @property
    def reduces(self) -> bool:
        return self.name in REDUCING


def exchange_of(call: Call) -> Exchange:
    """What a call of kind 'collective' exchanges. Raises BadInput for operands that are not those of a collective.

    >>> x = TensorSpec((1024,), (1,), "bfloat16")
    >>> exchange_of(Call("collective.all_reduce_.default", (x, 2), (), (x,)))
    Exchange(name='all_reduce', ranks=2, payload_bytes=2048, link_bytes=2048.0, steps=2)
    """
    name = packet_of(call).rpartition(".")[2]
    tensor, ranks = call.args[0] if call.args else None, call.args[1] if len(call.args) > 1 else None
    if name not in COLLECTIVES or not isinstance(tensor, TensorSpec):
        raise BadInput(f"{call.op}: expected one of {', '.join(COLLECTIVES)} with a tensor as argument 0.")
    if isinstance(ranks, bool) or not isinstance(ranks, int) or not 1 < ranks <= MOST_RANKS:
        raise BadInput(f"{call.op}: expected a number of ranks from 2 to {MOST_RANKS} as argument 1, got {ranks!r}.")
    payload = tensor.numel * tensor.itemsize * (ranks if name == "all_gather" else 1)
    between = (ranks - 1) / ranks
    shares = {"all_reduce": 2 * between, "broadcast": 1.0, "send_receive": 1.0}
    steps = {"all_reduce": 2 * (ranks - 1), "all_gather": ranks - 1, "reduce_scatter": ranks - 1}
    return Exchange(name, ranks, payload, shares.get(name, between) * payload, steps.get(name, 1))
