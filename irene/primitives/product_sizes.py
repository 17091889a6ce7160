"""The sizes of products as columns are made of them: one at least, so that their logarithms exist."""

from __future__ import annotations

from irene.primitives.call import Call, dtype_bytes
from irene.primitives.shapes import compute_dtype, gemm_shape


def product_sizes(call: Call) -> tuple[int, int, int, int, int]:
    """Batch, M, N and K of a product, each one at least, and the bytes of an element that it computes in.

    >>> from irene.primitives.call import TensorSpec
    >>> x, w = TensorSpec((8, 768), (768, 1), "bfloat16"), TensorSpec((3072, 768), (768, 1), "bfloat16")
    >>> product_sizes(Call("aten.linear.default", (x, w)))
    (1, 8, 3072, 768, 2)
    """
    shape, itemsize = gemm_shape(call), dtype_bytes(compute_dtype(call))
    return max(shape.batch, 1), max(shape.m, 1), max(shape.n, 1), max(shape.k, 1), itemsize
