"""Which tile a vendor's library would pick for a product, and how long it would take: columns for the time regressors.

A tile costs its arithmetic or its loads, whichever is longer, and a start; a kernel runs in waves of one tile an SM.
Tiles, shares and seconds of each set of kernels are the device's library's (`irene.hardware.kernel_library`), a handful
for thousands of products. What they leave is learned: nothing here knows whether a pick is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from irene.arrays import FloatArray, IntArray, distinct_rows
from irene.hardware.kernel_library import ProductKernels, TileCosts
from irene.hardware.spec import DeviceSpec
from irene.primitives.call import Call
from irene.primitives.product_sizes import product_sizes
from irene.primitives.stacks import numbers_of

LIBRARY_TILES = (
    "log2_picked_time", "log2_unsplit_time", "log2_split_time", "log2_picked_rows", "log2_picked_columns",
    "log2_picked_size", "log2_picked_waves", "picked_fill", "log2_splits", "log2_split_rows", "log2_split_columns",
    "log2_pick_margin",
)  # fmt: skip
# In 8 bits the tensor cores' kernels have the tiles of 16 bits, half as wide along K in bytes.
_KINDS = {
    "bfloat16": "half", "float16": "half", "tf32": "tf32", "float8_e4m3fn": "half", "float8_e5m2": "half",
    "int8": "half",
}  # fmt: skip
_AT_ONCE = 256  # products, whose seconds with every tile stay in the processor's cache
_REFERENCE_SIZE = 128 * 256  # elements of a tile whose results take `store_s` to write


@dataclass(frozen=True, slots=True, eq=False)
class _Products:
    """Sizes of products as columns (products, 1), and what the device does for them."""

    batch: FloatArray
    m: FloatArray
    n: FloatArray
    k: FloatArray
    itemsize: FloatArray
    sm_flop_per_s: FloatArray
    spec: DeviceSpec

    @property
    def columns(self) -> tuple[FloatArray, ...]:
        return self.batch, self.m, self.n, self.k, self.itemsize, self.sm_flop_per_s

    def take(self, at: IntArray) -> _Products:
        """The products at these places."""
        batch, m, n, k, itemsize, sm_flop_per_s = (column[at] for column in self.columns)
        return _Products(batch, m, n, k, itemsize, sm_flop_per_s, self.spec)


def library_tiles(calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec) -> FloatArray:
    """Columns as named in LIBRARY_TILES, shape (calls, columns); times are log2 of their ratio to `base_s`.

    `calls` are products (GEMM, convolution, grouped GEMM) and `dtypes` the modes that they run in; those that have no
    kernels of their own here are priced as float32's.
    """
    products = _measure(calls, dtypes, spec)
    kinds, kind = np.unique([_KINDS.get(dtype, "") for dtype in dtypes], return_inverse=True)
    first, of_call = distinct_rows(np.column_stack([*products.columns, kind.astype(np.float64), base_s]))
    products, kind, base_s = products.take(first), kind[first], base_s[first]
    answer = np.empty((len(first), len(LIBRARY_TILES)))
    library = spec.library
    kernels = {"half": (library.half, library.half), "tf32": (library.tf32, library.tf32_split)}
    for number, name in enumerate(kinds.tolist()):
        of_kind = np.flatnonzero(kind == number)
        for start in range(0, len(of_kind), _AT_ONCE):
            at = of_kind[start : start + _AT_ONCE]
            answer[at] = _columns(products.take(at), base_s[at], *kernels.get(name, (library.single, library.single)))
    return answer[of_call]


def _measure(calls: Sequence[Call], dtypes: Sequence[str], spec: DeviceSpec) -> _Products:
    batch, m, n, k, itemsize = numbers_of(product_sizes, calls, 5)[:, :, None]
    peaks = dict(spec.peaks)  # products of whole numbers have none: they run as other arithmetic does
    flop_per_s = np.array([peaks.get(dtype, spec.vector_flop_per_s) for dtype in dtypes], dtype=np.float64)[:, None]
    return _Products(batch, m, n, k, itemsize, flop_per_s / spec.sm_count, spec)


def _columns(products: _Products, base_s: FloatArray, whole: ProductKernels, split: ProductKernels) -> FloatArray:
    each = np.arange(len(base_s))
    time_s = _price(products, whole, whole.costs, np.array(whole.slowness), 1)
    weighed_s = _price(products, whole, whole.chosen_by, np.ones(1), 1) if whole.chosen_by else time_s
    picked = weighed_s.argmin(axis=1)
    rows, columns = np.array(whole.tiles, dtype=np.float64)[picked].T
    tiles = products.batch[:, 0] * np.ceil(products.m[:, 0] / rows) * np.ceil(products.n[:, 0] / columns)
    waves = np.ceil(tiles / products.spec.sm_count)

    split_s, parts, tile = np.full(len(each), np.inf), np.ones(len(each)), np.zeros(len(each), dtype=np.int64)
    for count in split.splits:
        counted_s = _price(products, split, split.costs, np.array(split.slowness), count)
        best = counted_s.argmin(axis=1)
        better = counted_s[each, best] < split_s
        split_s, parts = np.where(better, counted_s[each, best], split_s), np.where(better, count, parts)
        tile = np.where(better, best, tile)
    split_rows, split_columns = np.array(split.tiles, dtype=np.float64)[tile].T
    two_best_s = np.partition(weighed_s, 1, axis=1)[:, :2]
    times_s = np.column_stack([time_s[each, picked], time_s.min(axis=1), split_s]) / base_s[:, None]
    sizes = np.column_stack([rows, columns, rows * columns, waves])
    parts_and_tile = np.column_stack([parts, split_rows, split_columns, two_best_s[:, 0] / two_best_s[:, 1]])
    fill = (tiles / (waves * products.spec.sm_count))[:, None]
    return np.hstack([np.log2(times_s), np.log2(sizes), fill, np.log2(parts_and_tile)])


def _price(
    products: _Products, kernels: ProductKernels, costs: TileCosts, slowness: FloatArray, splits: int
) -> FloatArray:
    """Seconds of every product with every tile, K cut into so many parts: shape (products, tiles)."""
    rows, columns = (np.array(sizes, dtype=np.float64)[None] for sizes in zip(*kernels.tiles, strict=True))
    batch, m, n, k, spec = products.batch, products.m, products.n, products.k, products.spec
    waves = np.ceil(batch * np.ceil(m / rows) * np.ceil(n / columns) * splits / spec.sm_count)
    steps = np.ceil(k / splits / kernels.k_step) * kernels.k_step
    sm_bytes_per_s = costs.l2_share * spec.hbm_bytes_per_s / spec.sm_count
    arithmetic_s = 2 * rows * columns * slowness / (costs.flop_share * products.sm_flop_per_s)
    loading_s = (rows + columns) * products.itemsize / sm_bytes_per_s
    tile_s = costs.start_s + costs.store_s * rows * columns / _REFERENCE_SIZE
    traffic_s = batch * (m * k + n * k + m * n) * products.itemsize / (costs.hbm_share * spec.hbm_bytes_per_s)
    time_s = costs.launch_s + np.maximum(waves * (tile_s + steps * np.maximum(arithmetic_s, loading_s)), traffic_s)
    if splits > 1:
        summed_bytes = batch * m * n * 4 * (splits + 1)
        time_s = time_s + kernels.reduce_s + summed_bytes / (kernels.reduce_share * spec.hbm_bytes_per_s)
    answer: FloatArray = time_s
    return answer
