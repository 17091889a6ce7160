"""How tensors lie in memory, as far as a kernel's speed hangs on it: alignment, leading dimensions, hidden copies.

Two calls of one size can differ several times in cost by these alone. Pure shape arithmetic, no torch.
"""

from __future__ import annotations

import math

from irene.primitives.call import Call, TensorSpec

WIDEST_ACCESS_BYTES = 16
"""The widest load or store of one thread, and what bulk copies want rows to start at."""


def alignment_bytes(size_bytes: int) -> int:
    """The largest power of two that divides a distance in memory, at most the widest access; the latter for 0.

    >>> alignment_bytes(541 * 2), alignment_bytes(128 * 2)
    (2, 16)
    """
    return math.gcd(size_bytes, WIDEST_ACCESS_BYTES) if size_bytes else WIDEST_ACCESS_BYTES


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
