"""How many bytes a call has to move: every operand read once, every output written once, views nothing.

This is the least traffic that an ideal kernel needs, the memory roof of a roofline. A broadcast (stride 0) dimension
is stored once and counts once; gathers read the rows that they touch and not the whole table.
"""

from __future__ import annotations

import math
from dataclasses import replace

from irene.primitives.call import Call, TensorSpec
from irene.primitives.kinds import kind_of, packet_of
from irene.primitives.shapes import experts_hit

# The first operand is the table that rows are taken from.
_GATHERS = frozenset({
    "aten.embedding", "aten.embedding_bag", "aten._embedding_bag", "aten.index", "aten._unsafe_index", "aten.gather",
    "aten.index_select", "aten.take", "aten.take_along_dim", "aten.masked_select",
})  # fmt: skip
_ACCUMULATES = frozenset({"aten.index_add", "aten.scatter_add", "aten.scatter_reduce", "aten.index_reduce"})
# In place, these write their first operand without having read it.
_OVERWRITES = frozenset({"aten.copy"})
# The second tensor only lends its dtype or shape.
_READ_FIRST_ONLY = frozenset({"aten.type_as", "aten.to"})


def distinct_bytes(tensor: TensorSpec) -> int:
    """Distinct bytes behind a tensor: broadcast dimensions once, and never more than the memory that it spans.

    >>> distinct_bytes(TensorSpec((64, 512), (0, 1), "float32"))
    2048
    >>> distinct_bytes(TensorSpec((100, 8), (1, 1), "float32"))  # overlapping windows
    428
    """
    stored = span = 1
    for size, stride in zip(tensor.shape, tensor.stride, strict=True):
        if size == 0:
            return 0
        if stride:
            stored *= size
            span += (size - 1) * abs(stride)
    return min(stored, span) * tensor.itemsize


def count_traffic_bytes(call: Call) -> int:
    """Bytes that a call reads and writes at least; 0 for views.

    >>> x = TensorSpec((1024,), (1,), "bfloat16")
    >>> count_traffic_bytes(Call("aten.add.Tensor", (x, x), (), (x,)))
    6144
    """
    return sum(split_traffic(call))


def split_traffic(call: Call) -> tuple[int, int, int]:
    """(bytes of weights read, bytes of activations read, bytes written). Weights may be hot or cold: hence apart."""
    kind = kind_of(call)
    if kind == "view":
        return 0, 0, 0
    if kind == "grouped_gemm":
        return _split_grouped(call)
    if kind == "embedding":
        return _split_gather(call) if packet_of(call) in _GATHERS else _split_scatter(call)
    return (*_sum_reads(_read_operands(call, kind)), _written(call))


def _sum_reads(operands: tuple[TensorSpec, ...]) -> tuple[int, int]:
    weights = activations = 0
    for tensor in operands:
        if tensor.on_host:
            continue  # not of the device's memory
        if tensor.weight:
            weights += distinct_bytes(tensor)
        else:
            activations += distinct_bytes(tensor)
    return weights, activations


def _written(call: Call) -> int:
    return sum(distinct_bytes(t) for t in call.outputs)


def _read_operands(call: Call, kind: str) -> tuple[TensorSpec, ...]:
    packet = packet_of(call)
    if kind == "fill" or (kind == "random" and (call.is_in_place or packet.endswith("_like"))):
        return ()  # shapes and dtypes are borrowed, values are not read
    if call.kwarg("out") is not None:  # an output given by the caller is written, not read
        call = replace(call, kwargs=tuple((name, value) for name, value in call.kwargs if name != "out"))
    operands = call.tensors
    if packet in _OVERWRITES and call.is_in_place:
        return operands[1:]
    if packet in _READ_FIRST_ONLY:
        return operands[:1]
    return operands


def _split_grouped(call: Call) -> tuple[int, int, int]:
    """Only experts that are hit are read: at most one per row."""
    weights = activations = 0
    for position, tensor in enumerate(call.tensors):
        read = distinct_bytes(tensor)
        if position == 1 and len(tensor.shape) == 3:
            read = read * experts_hit(call) // max(tensor.shape[0], 1)
        if tensor.weight:
            weights += read
        else:
            activations += read
    return weights, activations, _written(call)


def _split_gather(call: Call) -> tuple[int, int, int]:
    """Rows of the table that are taken (no more than it has), the indices, and the output."""
    if not call.tensors:
        return 0, 0, _written(call)
    table, *indices = call.tensors
    weights, activations = _sum_reads(tuple(indices))
    taken = _written(call)
    if "embedding_bag" in packet_of(call) and indices:  # rows are summed: more are read than written
        taken = indices[0].numel * table.shape[-1] * table.itemsize
    taken = min(taken, distinct_bytes(table))
    if table.weight:
        return weights + taken, activations, _written(call)
    return weights, activations + taken, _written(call)


def _split_scatter(call: Call) -> tuple[int, int, int]:
    """Scatters: out of place the whole target is copied; in place only the rows that are named are touched."""
    if not call.is_in_place or len(call.tensors) < 2:
        return (*_sum_reads(call.tensors), _written(call))
    target, *others = call.tensors
    weights, activations = _sum_reads(tuple(others))
    touched = min(_touched_elements(call, target) * target.itemsize, distinct_bytes(target))
    accumulates = packet_of(call) in _ACCUMULATES
    if packet_of(call) == "aten.index_put":
        accumulates = bool(call.args[3] if len(call.args) > 3 else call.kwarg("accumulate", False))
    return weights, activations + (touched if accumulates else 0), touched


def _touched_elements(call: Call, target: TensorSpec) -> int:
    """Elements of the target that an in-place scatter writes.

    `index_put_(x, (i, j), values)` writes one element per broadcast index for each of the dimensions not indexed; a
    boolean mask may be true everywhere. `index_copy_(x, dim, i, source)` and `scatter_(x, dim, index, source)` write
    their source; with a scalar, `scatter_` writes one element per index and `index_fill_` one slice per index.
    """
    indices = call.args[1] if len(call.args) > 1 else None
    if isinstance(indices, tuple):
        given = [t for t in indices if isinstance(t, TensorSpec)]
        indexed, dim = 1, 0
        for entry in indices:
            if isinstance(entry, TensorSpec):
                spans = len(entry.shape) if entry.dtype == "bool" else 1
                indexed *= math.prod(target.shape[dim : dim + spans])
                dim += spans
            else:
                dim += 1
        return max((t.numel for t in given), default=0) * (target.numel // max(indexed, 1))
    others = call.tensors[1:]
    largest = max(t.numel for t in others)
    if packet_of(call) == "aten.index_fill" and isinstance(indices, int) and target.shape:
        return others[0].numel * (target.numel // max(target.shape[indices], 1))
    return largest
