"""Known indices must lie inside what they index: a table with too few rows fails on a GPU, and so it does here.

Token, position and type ids that a model makes from its inputs are known without weights (see `known_values`): whatever
table they are looked up in, by embedding, indexing or gathering, the largest and the smallest are held against it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch

from irene.errors import BadInput, Untraceable
from irene.tracing.known_values import expression_of

# Beyond this, only embeddings are checked: masks and relative positions of long sequences are large, and no table.
_LARGEST = 2**22


class _Lookup(NamedTuple):
    indices: torch.Tensor
    size: int
    least: int  # the smallest index that is allowed


def check_indices(op: str, args: tuple[Any, ...], kwargs: dict[str, Any], place: str) -> None:
    """Raise BadInput, naming `place`, where a known index of a call is outside of what it indexes."""
    find = _LOOKUPS.get(op.split(".")[1])
    if find is None:
        return
    for indices, size, least in find(args, kwargs):
        extremes = _known_extremes(indices, is_table="embedding" in op)
        if extremes is not None and (extremes[0] < least or extremes[1] >= size):
            wrong = extremes[1] if extremes[1] >= size else extremes[0]
            raise BadInput(
                f"{place} looks up index {wrong} where indices go from {least} to {size - 1}: torch would refuse it. "
                "Give fewer tokens, or other ids."
            )


def _known_extremes(indices: torch.Tensor, is_table: bool) -> tuple[int, int] | None:
    """The smallest and the largest, if they are known and were not assumed."""
    if indices.numel() == 0 or indices.dtype in (torch.bool, torch.uint8) or indices.is_floating_point():
        return None
    expression = expression_of(indices)
    if expression is None or expression.assumed or (indices.numel() > _LARGEST and not is_table):
        return None
    try:
        values = expression.compute()
    except Untraceable:  # entries at places that are not known
        return None
    low, high = torch.aminmax(values)
    return int(low), int(high)


def _embed(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[_Lookup]:
    table, indices = args[0], args[1]
    yield _Lookup(indices, table.shape[0], 0)


def _select(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[_Lookup]:
    """Of (self, dim, index, ...)."""
    target, dim, indices = args[0], args[1], args[2]
    if isinstance(dim, int) and isinstance(indices, torch.Tensor) and target.dim():
        yield _Lookup(indices, target.shape[dim], 0)


def _take(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[_Lookup]:
    yield _Lookup(args[1], args[0].numel(), -args[0].numel())


def _index(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[_Lookup]:
    """(self, indices, ...): one entry a dimension; a mask takes as many dimensions as it has."""
    dim = 0
    for indices in args[1]:
        if isinstance(indices, torch.Tensor) and indices.dtype in (torch.bool, torch.uint8):
            dim += indices.dim()
            continue
        if isinstance(indices, torch.Tensor) and dim < args[0].dim():
            yield _Lookup(indices, args[0].shape[dim], -args[0].shape[dim])
        dim += 1


def _label(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[_Lookup]:
    classes = args[1] if len(args) > 1 else kwargs.get("num_classes", -1)
    if classes > 0:
        yield _Lookup(args[0], classes, 0)


_LOOKUPS: dict[str, Callable[[tuple[Any, ...], dict[str, Any]], Iterator[_Lookup]]] = {
    "embedding": _embed, "embedding_bag": _embed, "_embedding_bag": _embed, "one_hot": _label,
    "index_select": _select, "gather": _select, "scatter": _select, "scatter_": _select, "scatter_add": _select,
    "scatter_add_": _select, "scatter_reduce": _select, "scatter_reduce_": _select, "index_add": _select,
    "index_add_": _select, "index_copy": _select, "index_copy_": _select, "index_fill": _select,
    "index_fill_": _select, "take": _take, "index": _index, "_unsafe_index": _index, "index_put": _index,
    "index_put_": _index, "_index_put_impl_": _index,
}  # fmt: skip
