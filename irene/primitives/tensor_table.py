"""The tensors of many calls as arrays: sizes, bytes and layouts of all of them at once.

A sweep asks for the features of tens of thousands of calls; one by one, in Python, they would take most of its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from irene.arrays import BoolArray, IntArray
from irene.primitives.call import Call, TensorSpec, dtype_bytes
from irene.primitives.patterns import tensors_of
from irene.primitives.stacks import CallStack

_NO_TENSOR = TensorSpec((), (), "float32")


@dataclass(frozen=True, slots=True, eq=False)
class TensorTable:
    """One row a tensor, call after call, operands before outputs; the last row is a scalar, for calls without tensors.

    `call` is the number of the tensor's call, `is_output` says that it is one. `shape` and `stride` are aligned to the
    right, shape (tensors, dims): dimensions that a tensor lacks have size 1 and stride 0; `rank` is how many it has.
    """

    calls: int
    call: IntArray
    is_output: BoolArray
    rank: IntArray
    shape: IntArray
    stride: IntArray
    itemsize: IntArray
    dtype: IntArray  # numbered as they occur

    @property
    def scalar(self) -> int:
        """The number of the last row."""
        return len(self.rank) - 1

    @property
    def numel(self) -> IntArray:
        """Elements of each tensor."""
        return np.asarray(np.prod(self.shape, axis=1), dtype=np.int64)

    @property
    def bytes(self) -> IntArray:
        """As `TensorSpec.bytes`: a broadcast dimension is stored once."""
        is_stored = (self.stride != 0) | (self.shape == 0)
        stored: IntArray = np.prod(self.shape, axis=1, where=is_stored) * self.itemsize
        return stored

    @property
    def last(self) -> IntArray:
        """Size of the last dimension; 1 for a scalar."""
        return self.shape[:, -1]

    @property
    def is_contiguous(self) -> BoolArray:
        """As `TensorSpec.is_contiguous`."""
        expected = np.ones_like(self.shape)
        expected[:, :-1] = np.cumprod(self.shape[:, :0:-1], axis=1)[:, ::-1]
        return np.asarray(((self.shape == 1) | (self.stride == expected)).all(axis=1))

    @property
    def is_expanded(self) -> BoolArray:
        """Whether a dimension repeats what is stored once."""
        return np.asarray(((self.stride == 0) & (self.shape > 1)).any(axis=1))

    @property
    def has_zero_stride(self) -> BoolArray:
        """Whether any dimension has a stride of 0, be it of size 1."""
        dims = self.shape.shape[1]
        return np.asarray(((self.stride == 0) & (np.arange(dims) >= dims - self.rank[:, None])).any(axis=1))

    @property
    def running_dim(self) -> IntArray:
        """Counted from the last, from 1, the dimension along which neighbours in memory lie; 0 if there is none."""
        far = np.iinfo(np.int64).max
        stride = np.where((self.shape > 1) & (self.stride > 0), self.stride, far)[:, ::-1]
        nearest = stride.argmin(axis=1)  # of equal strides, the last dimension
        found: IntArray = np.where(stride[np.arange(len(stride)), nearest] < far, nearest + 1, 0)
        return found

    @property
    def dtypes_of_calls(self) -> IntArray:
        """How many dtypes the tensors of each call have."""
        seen = self.of_calls(np.bitwise_or, 1 << self.dtype, 0, np.ones_like(self.is_output))
        return np.asarray(sum(((seen >> number) & 1 for number in range(int(self.dtype.max()) + 1)), start=seen * 0))

    def of_calls(self, reduction: np.ufunc, values: IntArray, default: int, where: BoolArray) -> IntArray:
        """`values` of the tensors where `where` is true, reduced over each call; `default` for calls without any."""
        kept = np.flatnonzero(where[:-1])
        counts = self.count_of_calls(where)
        starts = np.cumsum(counts) - counts
        reduced = np.full(self.calls, default, dtype=np.int64)
        if len(kept):
            reduced[counts > 0] = reduction.reduceat(values[kept], starts[counts > 0])
        return reduced

    def count_of_calls(self, where: BoolArray) -> IntArray:
        """How many tensors of each call `where` is true of."""
        return np.bincount(self.call[where], minlength=self.calls + 1)[: self.calls]

    def first_of_calls(self, where: BoolArray) -> IntArray:
        """The row of each call's first tensor where `where` is true; the scalar's if there is none."""
        return self.of_calls(np.minimum, np.arange(len(self.rank)), self.scalar, where)


def tabulate_tensors(calls: Sequence[Call]) -> TensorTable:
    """The operands and outputs of calls, in their order.

    >>> x = TensorSpec((8, 128), (128, 1), "bfloat16")
    >>> table = tabulate_tensors([Call("aten.gelu.default", (x,), (), (x,))])
    >>> table.numel.tolist(), table.is_output.tolist()
    ([1024, 1024, 1], [False, True, False])
    """
    if isinstance(calls, CallStack):
        return _tabulate_forms(calls)
    specs = [*chain.from_iterable((*call.tensors, *call.outputs) for call in calls), _NO_TENSOR]
    operands = np.array([len(call.tensors) for call in calls], dtype=np.int64)
    of_call = operands + np.array([len(call.outputs) for call in calls], dtype=np.int64)
    call = np.repeat(np.arange(len(calls)), of_call)
    place = np.arange(len(call)) - (np.cumsum(of_call) - of_call)[call]
    rank = np.array([len(spec.shape) for spec in specs], dtype=np.int64)
    dims = max(int(rank.max()), 1)
    is_own = np.arange(dims) >= dims - rank[:, None]
    shape, stride = np.ones((len(specs), dims), dtype=np.int64), np.zeros((len(specs), dims), dtype=np.int64)
    shape[is_own] = np.fromiter(chain.from_iterable([spec.shape for spec in specs]), np.int64)
    stride[is_own] = np.fromiter(chain.from_iterable([spec.stride for spec in specs]), np.int64)
    numbers: dict[str, int] = {}
    for spec in specs:
        numbers.setdefault(spec.dtype, len(numbers))
    sizes = {name: dtype_bytes(name) for name in numbers}
    return TensorTable(
        calls=len(calls),
        call=np.append(call, len(calls)),
        is_output=np.append(place >= operands[call], False),
        rank=rank,
        shape=shape,
        stride=stride,
        itemsize=np.array([sizes[spec.dtype] for spec in specs], dtype=np.int64),
        dtype=np.array([numbers[spec.dtype] for spec in specs], dtype=np.int64),
    )


def _tabulate_forms(calls: CallStack) -> TensorTable:
    """As `tabulate_tensors`: the numbers of a form's calls are its tensors' sizes and strides, beside each other."""
    forms = [(form, tensors_of(form.pattern)) for form in calls.forms]
    of_call = np.zeros(len(calls), dtype=np.int64)
    for form, tensors in forms:
        of_call[form.rows] = len(tensors)
    first, count = np.cumsum(of_call) - of_call, int(of_call.sum()) + 1
    dims = max([1, *(tensor.rank for _, tensors in forms for tensor in tensors)])
    shape, stride = np.ones((count, dims), dtype=np.int64), np.zeros((count, dims), dtype=np.int64)
    rank, itemsize, dtype = (np.zeros(count, dtype=np.int64) for _ in range(3))
    is_output = np.zeros(count, dtype=np.bool_)
    itemsize[-1] = _NO_TENSOR.itemsize
    numbers = {_NO_TENSOR.dtype: 0}
    for form, tensors in forms:
        for place, tensor in enumerate(tensors):
            rows, middle = first[form.rows] + place, tensor.start + tensor.rank
            shape[rows, dims - tensor.rank :] = form.numbers[:, tensor.start : middle]
            stride[rows, dims - tensor.rank :] = form.numbers[:, middle : middle + tensor.rank]
            rank[rows], is_output[rows], itemsize[rows] = tensor.rank, tensor.is_output, dtype_bytes(tensor.dtype)
            dtype[rows] = numbers.setdefault(tensor.dtype, len(numbers))
    call = np.append(np.repeat(np.arange(len(calls)), of_call), len(calls))
    return TensorTable(len(calls), call, is_output, rank, shape, stride, itemsize, dtype)
