"""The loops of pointwise kernels, of many calls at once: how many are left when dimensions that lie alike are merged.

Neighbouring dimensions merge where every tensor steps evenly through both, as in torch's TensorIterator: dense tensors
that lie alike make one long loop, whatever their shape.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irene.arrays import IntArray
from irene.primitives.tensor_table import TensorTable


@dataclass(frozen=True, slots=True, eq=False)
class LoopNests:
    """Loops of each nest, innermost first: `count` (nests,) of them, the rest of `size` (nests, loops) is 1.

    `steps` (nests, loops, tensors) says how many elements each tensor goes on with each turn of a loop.
    """

    count: IntArray
    size: IntArray
    steps: IntArray


def nest_loops(table: TensorTable, rows: IntArray) -> LoopNests:
    """`rows` (nests, tensors) are rows of a table: what is written first, then what broadcasts to its shape.

    Where a nest has fewer tensors, the scalar's row stands for them. One element makes no loop.

    >>> from irene.primitives.call import Call, TensorSpec
    >>> from irene.primitives.tensor_table import tabulate_tensors
    >>> x, row = TensorSpec((8, 128, 768), (98304, 768, 1), "bfloat16"), TensorSpec((768,), (1,), "bfloat16")
    >>> table = tabulate_tensors([Call("aten.add.Tensor", (x, row), (), (x,))])
    >>> nests = nest_loops(table, np.array([[2, 0, 0], [2, 0, 1]]))
    >>> nests.count.tolist(), nests.size[:, :2].tolist(), nests.steps[1, :2].tolist()
    ([1, 2], [[786432, 1], [768, 1024]], [[1, 1, 1], [768, 768, 0]])
    """
    shape = table.shape[rows[:, 0]]
    stride = np.where(table.shape == 1, 0, table.stride)[rows].transpose(1, 0, 2)
    order = np.lexsort((*stride[::-1], shape == 1), axis=-1)  # dimensions from near to far; those of one element last
    shape = np.take_along_axis(shape, order, axis=1)
    stride = np.take_along_axis(stride, order[None], axis=2).transpose(2, 1, 0)
    nests, dims = shape.shape
    count = np.zeros(nests, dtype=np.int64)
    size, steps = np.ones((nests, dims), dtype=np.int64), np.zeros((nests, dims, rows.shape[1]), dtype=np.int64)
    for dim in range(dims):
        last = np.maximum(count - 1, 0)
        inner, taken = steps[np.arange(nests), last], size[np.arange(nests), last]
        goes_on = (count > 0) & (inner * taken[:, None] == stride[dim]).all(axis=1)
        is_loop = shape[:, dim] != 1
        merged, begun = np.flatnonzero(is_loop & goes_on), np.flatnonzero(is_loop & ~goes_on)
        size[merged, last[merged]] *= shape[merged, dim]
        size[begun, count[begun]] = shape[begun, dim]
        steps[begun, count[begun]] = stride[dim, begun]
        count[begun] += 1
    return LoopNests(count, size, steps)
