"""Running sums and products (`cumsum` and its kin): how many steps of one wait for the one before."""

from __future__ import annotations

import math

from irene.primitives.call import Call

SCANS = ("cumsum", "cumprod", "cummax", "cummin", "logcumsumexp")
_THREADS = 512  # of a block, each for a column of its own
# Of 203 scans along the last dimension in data/h200 those 11 whose rows outnumber their length by ten doublings or
# more, both rounded up, take 5.6 to 6.8 ns a row, whatever their length and dtype: a twentieth of a load's latency.
# Those one doubling less tall take 0.3 to 0.6 ns. It is as if a single block took the rows in turns.
_TALL_DOUBLINGS, _ROWS_AT_ONCE = 10, 20


def scan_steps(call: Call, resident_threads: int) -> int:
    """Loads that wait for one another; 0 where a scan is shared among threads, and for every other call.

    Along any dimension but the last, a thread walks down a column and loads one element after the other; beyond
    `resident_threads` columns a chip takes them in turns. Along the last one, or where the tensor is one row, threads
    share the work (torch, aten/src/ATen/native/cuda/ScanUtils.cuh, scan_dim), but for tall and narrow tensors.

    >>> from irene.primitives.call import TensorSpec
    >>> x = TensorSpec((10240, 32), (32, 1), "int64")
    >>> scan_steps(Call("aten.cumsum.default", (x, 0)), 270336), scan_steps(Call("aten.cumsum.default", (x, 1)), 270336)
    (10240, 0)
    """
    if call.name.rstrip("_") not in SCANS or not call.tensors or not call.tensors[0].shape:
        return 0
    shape = call.tensors[0].shape
    dim = call.args[1] if len(call.args) > 1 else call.kwarg("dim", -1)
    if not isinstance(dim, int) or not -len(shape) <= dim < len(shape):
        return 0
    dim %= len(shape)
    length, columns = shape[dim], math.prod(shape[dim + 1 :])
    outer = math.prod(shape[:dim])
    if outer * columns <= 1:
        return 0
    if dim == len(shape) - 1:
        is_tall = math.ceil(math.log2(outer)) - math.ceil(math.log2(max(length, 1))) >= _TALL_DOUBLINGS
        return -(-outer // _ROWS_AT_ONCE) if is_tall else 0
    threads = min(_THREADS, columns)
    blocks = outer * -(-columns // threads)
    return length * -(-blocks * threads // resident_threads)
