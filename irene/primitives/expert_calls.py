"""Calls whose work depends on how a router sends rows to experts: grouped products, and gathers of experts' weights."""

from __future__ import annotations

from collections.abc import Iterable

from irene.primitives.call import Call

GROUPED_PRODUCTS = frozenset({"aten._grouped_mm.default", "transformers.grouped_mm_fallback.default"})


def is_expert_gather(call: Call) -> bool:
    """Whether a call takes the weights of one expert for each of its rows, as batched products of experts need them."""
    if call.op != "aten.index.Tensor" or len(call.tensors) != 2:
        return False
    table, ids = call.tensors
    return table.weight and len(table.shape) == 3 and len(ids.shape) == 1 and call.args[1] == (ids,)


def count_rows_and_experts(call: Call) -> tuple[int, int] | None:
    """How many rows are routed to how many experts; None of a call that routes none."""
    if is_expert_gather(call):
        table, ids = call.tensors
        return ids.shape[0], table.shape[0]
    if call.op in GROUPED_PRODUCTS:
        x, weight = call.tensors[:2]
        return (x.shape[0], weight.shape[0]) if len(x.shape) == 2 and len(weight.shape) == 3 else None
    return None


def find_top_k(calls: Iterable[Call]) -> dict[int, int]:
    """How many experts a token goes to, by how many there are: what the routers among the calls choose.

    >>> from irene.primitives.call import TensorSpec
    >>> scores, chosen = TensorSpec((64, 8), (8, 1), "float32"), TensorSpec((64, 2), (2, 1), "float32")
    >>> find_top_k([Call("aten.topk.default", (scores, 2, -1), (), (chosen,))])
    {8: 2}
    """
    found: dict[int, int] = {}
    for call in calls:
        if call.name == "topk" and len(call.args) > 1 and isinstance(call.args[1], int) and call.tensors[0].shape:
            found[call.tensors[0].shape[-1]] = call.args[1]
    return found
