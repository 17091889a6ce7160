"""How tensors lie in memory, as far as a kernel's speed hangs on it: alignment, loops that merge, hidden copies.

Two calls of one size can differ several times in cost by these alone. Pure shape arithmetic, no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from irene.primitives.call import Call, TensorSpec

WIDEST_ACCESS_BYTES = 16
"""The widest load or store of one thread, and what bulk copies want rows to start at."""


def alignment_bytes(size_bytes: int) -> int:
    """The largest power of two that divides a distance in memory, at most the widest access; the latter for 0.

    >>> alignment_bytes(541 * 2), alignment_bytes(128 * 2)
    (2, 16)
    """
    return math.gcd(size_bytes, WIDEST_ACCESS_BYTES) if size_bytes else WIDEST_ACCESS_BYTES


def loop_nest(tensors: Sequence[TensorSpec]) -> list[tuple[int, tuple[int, ...]]]:
    """The loops of a pointwise kernel, innermost first: (size, strides of each tensor in elements).

    The first tensor is written; the others broadcast to its shape. Neighbouring dimensions merge where every tensor
    steps evenly through both, as in torch's TensorIterator: dense tensors that lie alike make one long loop, whatever
    their shape. Empty if there is one element.

    >>> x = TensorSpec((8, 128, 768), (98304, 768, 1), "bfloat16")
    >>> loop_nest([x, x])
    [(786432, (1, 1))]
    >>> loop_nest([x, TensorSpec((768,), (1,), "bfloat16")])
    [(768, (1, 1)), (1024, (768, 0))]
    """
    shape = tensors[0].shape
    strides = [_broadcast_strides(tensor, shape) for tensor in tensors]
    dims = [dim for dim, size in enumerate(shape) if size != 1]
    dims.sort(key=lambda dim: [own[dim] for own in strides])
    loops: list[tuple[int, tuple[int, ...]]] = []
    for dim in dims:
        steps = tuple(own[dim] for own in strides)
        size, inner = loops[-1] if loops else (0, ())
        if loops and all(step * size == outer for step, outer in zip(inner, steps, strict=True)):
            loops[-1] = (size * shape[dim], inner)
        else:
            loops.append((shape[dim], steps))
    return loops


def product_operands(call: Call) -> tuple[TensorSpec, TensorSpec, TensorSpec | None]:
    """Both factors of a product and what is added to it, if anything."""
    tensors = call.tensors
    if call.name.rstrip("_") in ("addmm", "baddbmm", "addbmm", "addmv", "_addmm_activation"):
        return tensors[1], tensors[2], tensors[0]
    added = tensors[2] if call.name in ("linear", "bilinear") and len(tensors) > 2 else None
    return tensors[0], tensors[min(1, len(tensors) - 1)], added


def leading_stride(matrix: TensorSpec) -> int:
    """Elements between neighbouring rows (or columns) of a matrix, the last two dimensions of a tensor."""
    steps = [stride for size, stride in zip(matrix.shape[-2:], matrix.stride[-2:], strict=True) if size > 1]
    return max(steps, default=0) or max(matrix.shape[-2:], default=1)


def copied_bytes(call: Call) -> int:
    """Bytes that a dense product moves besides its own: copies of factors and of what is added, read and written.

    A factor is copied where its leading dimensions are no single batch in memory (heads inside a fused projection);
    `baddbmm` first spreads the addend over the output, and reads it there again.
    """
    name = call.name.rstrip("_")
    if name not in ("linear", "matmul", "baddbmm", "addmm") or len(call.tensors) < 2:
        return 0
    first, second, added = product_operands(call)
    if name in ("baddbmm", "addmm"):
        spreads = added is not None and call.outputs and (name == "baddbmm" or len(added.shape) > 1)
        return added.bytes + 2 * call.outputs[0].bytes if added is not None and spreads else 0
    if name == "matmul" and len(first.shape) > 2 and len(second.shape) > 2:
        copied = [factor for factor in (first, second) if not _merges(factor, 2)]
    else:
        copied = [] if _merges(first, 1) else [first]
    return sum(2 * factor.numel * factor.itemsize for factor in copied)


def _merges(tensor: TensorSpec, kept: int) -> bool:
    """Whether all but the last `kept` dimensions can be seen as one."""
    pairs = zip(tensor.shape[:-kept], tensor.stride[:-kept], strict=True)
    dims = [(size, stride) for size, stride in pairs if size != 1]
    return all(outer[1] == inner[0] * inner[1] for outer, inner in zip(dims, dims[1:], strict=False))


def _broadcast_strides(tensor: TensorSpec, shape: tuple[int, ...]) -> list[int]:
    missing = len(shape) - len(tensor.shape)
    own = [0 if size == 1 else stride for size, stride in zip(tensor.shape, tensor.stride, strict=True)]
    return [0] * missing + own[max(-missing, 0) :]
