"""Which tile NVIDIA's library would pick for a product, and how long it would take: columns for the time regressors.

The tiles are those that ran when the kernels of some 13,000 products were listed by name on an H200 (CUDA 13.0), each
three times or more. A tile costs its arithmetic or its loads, whichever is longer, and a start; a kernel runs in
waves of one tile an SM. The shares and seconds of each set of kernels were fitted to the times of that listing, a
handful for thousands of products. What they leave is learned: nothing here knows whether a pick is right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from irene.hardware.spec import DeviceSpec
from irene.primitives.call import DTYPE_BYTES, Call
from irene.primitives.shapes import compute_dtype, gemm_shape

FloatArray = NDArray[np.float64]
LIBRARY_TILES = (
    "log2_picked_time", "log2_unsplit_time", "log2_split_time", "log2_picked_rows", "log2_picked_columns",
    "log2_picked_size", "log2_picked_waves", "picked_fill", "log2_splits", "log2_split_rows", "log2_split_columns",
    "log2_pick_margin",
)  # fmt: skip
_REFERENCE_SIZE = 128 * 256  # elements of a tile whose results take `store_s` to write


@dataclass(frozen=True, slots=True)
class _Costs:
    """Shares are of the device's peak and of its HBM's bandwidth (`l2_share` times: neighbours share loads)."""

    launch_s: float
    start_s: float  # of a tile
    store_s: float
    flop_share: float
    l2_share: float
    hbm_share: float


@dataclass(frozen=True, slots=True)
class _Kernels:
    """One set of kernels: tiles (rows, columns) with the slowness of each, and parts of K that it is cut into.

    `chosen_by` are the costs that explain the picks, where they are not those that explain the times.
    """

    tiles: tuple[tuple[int, int], ...]
    slowness: tuple[float, ...]
    costs: _Costs
    k_step: int
    splits: tuple[int, ...] = (1,)
    reduce_s: float = 0.0
    reduce_share: float = 1.0  # of HBM bandwidth, for the partial sums
    chosen_by: _Costs | None = None


# Output columns of a tile, with the rows that it comes with: the library is column-major, and counts columns first.
_HALF_ROWS = {
    8: (64,), 24: (64,), 32: (64, 128), 40: (64,), 48: (64,), 56: (64,),
    64: (*range(8, 153, 8), 168, 184, 192, 200, 216, 256, 272, 352, 368, 400, 432, 496),
    80: (64, 128), 88: (64,), 96: (64, 128), 112: (64, 128), 128: (*range(8, 257, 8), 272, 288, 304), 144: (64, 128),
    160: (64, 128), 168: (64, 128), 176: (128,),
    192: (8, 16, 24, 32, 40, 48, 56, 72, 80, 88, 96, 112, 128, 144, 160, 176, 192, 208),
    256: (8, 16, 24, *range(96, 161, 8)), 320: (64, 128), 384: (88, 104), 512: (8, 16),
}  # fmt: skip
_HALF_TILES = tuple((rows, columns) for columns, each in _HALF_ROWS.items() for rows in each)


def _half_slowness(rows: int, columns: int) -> float:
    """64 columns keep half of an SM's tensor cores waiting for loads, the more so the longer the tile."""
    if columns == 64 and rows > 64:
        return 1.6 if rows > 320 else 1.14
    return 1.02


_HALF = _Kernels(
    _HALF_TILES, tuple(_half_slowness(*tile) for tile in _HALF_TILES),
    _Costs(2.2e-6, 1.0e-6, 0.83e-6, 0.98, 3.9, 0.84), 64, (2, 3, 4, 6, 8, 16), 2.1e-6, 1.65,
    chosen_by=_Costs(3.0e-6, 1.13e-6, 0.78e-6, 1.10, 2.8, 0.64),
)  # fmt: skip
_TF32 = _Kernels(
    ((64, 64), (64, 128), (128, 64), (128, 128), (128, 256), (256, 128), (64, 256)),
    (1.25, 1.1, 1.1, 1.0, 0.98, 0.98, 1.05), _Costs(4.2e-6, 1.0e-6, 1.0e-6, 0.95, 5.0, 0.80), 32,
)  # fmt: skip
# The older kernels that split K where TF32 is asked of a thin product.
_TF32_SPLIT = _Kernels(
    ((64, 64), (64, 128), (128, 64), (128, 128)), (1.0,) * 4, _Costs(2.95e-6, 1.0e-6, 0.74e-6, 0.52, 3.7, 0.72), 32,
    (1, 2, 3, 4, 6, 8, 12, 16, 32), 1.2e-6, 4.2,
)  # fmt: skip
_SINGLE = _Kernels(
    ((128, 128), (256, 64), (64, 256), (128, 64), (64, 128), (64, 64), (128, 32), (32, 64), (32, 128), (64, 32),
     (32, 32)),
    (0.99, 1.0, 1.0, 1.18, 1.18, 1.31, 1.43, 1.75, 1.57, 1.71, 2.2), _Costs(3.0e-6, 0.5e-6, 0.6e-6, 0.775, 3.4, 0.52),
    8, (2, 3, 4, 5, 6, 7, 8, 9, 11, 16, 22, 33), 3.0e-6, 0.42,
)  # fmt: skip
_KERNELS = {"bfloat16": (_HALF, _HALF), "float16": (_HALF, _HALF), "tf32": (_TF32, _TF32_SPLIT)}
_REST = (_SINGLE, _SINGLE)


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

    def take(self, at: NDArray[np.int64]) -> _Products:
        """The products at these places."""
        batch, m, n, k = self.batch[at], self.m[at], self.n[at], self.k[at]
        return _Products(batch, m, n, k, self.itemsize[at], self.sm_flop_per_s[at], self.spec)


def library_tiles(calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec) -> FloatArray:
    """Columns as named in LIBRARY_TILES, shape (calls, columns); times are log2 of their ratio to `base_s`.

    `calls` are products (GEMM, convolution, grouped GEMM) and `dtypes` the modes that they run in; those that have no
    kernels of their own here are priced as float32's.
    """
    products = _measure(calls, dtypes, spec)
    answer = np.empty((len(calls), len(LIBRARY_TILES)))
    kinds = np.array([dtype if dtype in _KERNELS else "" for dtype in dtypes], dtype=np.str_)
    for kind in np.unique(kinds):
        at = np.flatnonzero(kinds == kind)
        answer[at] = _columns(products.take(at), base_s[at], *_KERNELS.get(str(kind), _REST))
    return answer


def _measure(calls: Sequence[Call], dtypes: Sequence[str], spec: DeviceSpec) -> _Products:
    shapes = [gemm_shape(call) for call in calls]
    batch, m, n, k = (
        np.array([max(getattr(shape, name), 1) for shape in shapes], dtype=np.float64)[:, None]
        for name in ("batch", "m", "n", "k")
    )
    itemsize = np.array([DTYPE_BYTES[compute_dtype(call)] for call in calls], dtype=np.float64)[:, None]
    peaks = dict(spec.peaks)  # products of whole numbers have none: they run as other arithmetic does
    flop_per_s = np.array([peaks.get(dtype, spec.vector_flop_per_s) for dtype in dtypes], dtype=np.float64)[:, None]
    return _Products(batch, m, n, k, itemsize, flop_per_s / spec.sm_count, spec)


def _columns(products: _Products, base_s: FloatArray, whole: _Kernels, split: _Kernels) -> FloatArray:
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


def _price(products: _Products, kernels: _Kernels, costs: _Costs, slowness: FloatArray, splits: int) -> FloatArray:
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
