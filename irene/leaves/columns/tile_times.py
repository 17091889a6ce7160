"""How long a product would take with each tile shape: what a library weighs when it chooses a kernel.

A product is cut into tiles, one a streaming multiprocessor (SM) at a time; the last wave is seldom full, and a long
inner dimension may be split over several SMs whose parts are added up afterwards. Which kernel runs is not known here,
so the time regressor gets the time of every candidate as a ratio to the roofline, and learns which of them is taken.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from irene.arrays import FloatArray, distinct_rows
from irene.hardware.spec import DeviceSpec
from irene.primitives.call import Call
from irene.primitives.product_sizes import product_sizes
from irene.primitives.stacks import numbers_of

# Rows x columns of the tiles that GEMM libraries come with on this generation, large to small.
TILES = (
    (256, 128), (128, 256), (192, 128), (128, 192), (128, 128), (128, 64), (64, 128), (64, 256), (64, 64), (64, 32),
    (32, 64), (32, 32), (16, 64),
)  # fmt: skip
_SPLITS = (1, 2, 3, 4, 6, 8, 12, 16, 32)
# Small tiles of vector units share an SM: so many at a time.
_SHARED_TILES, _RESIDENT = ((128, 128), (128, 64), (64, 64), (32, 64)), 2
# The rest only shapes the candidates, coarsely: regressors see ratios, and learn what is left.
_INNER_STEP = 32
_STEP_LATENCY_S = 15e-9
_L2_OVER_HBM = 3.5  # tiles of neighbours are shared
_SPLIT_OVERHEAD_S = 1e-6
_AT_ONCE = 256  # products, whose seconds with every tile and split stay in the processor's cache


def tile_time_names() -> tuple[str, ...]:
    """Column names of `tile_time_ratios`, in order."""
    names = [f"{m}x{n}" for m, n in TILES]
    times = (*(f"log2_tile_time_{n}" for n in names), *(f"log2_split_time_{n}" for n in names), "log2_best_tile_time")
    shared = (f"{name}_{m}x{n}" for m, n in _SHARED_TILES for name in ("shared_wave_efficiency", "log2_shared_rate"))
    return (*times, *shared, *(f"log2_{sizes}_rate" for sizes in ("k", "rows", "columns", "output")))


def tile_time_ratios(calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec) -> FloatArray:
    """log2 of each candidate's seconds over `base_s`, shape (calls, columns): without a split, with the best, the best.

    After them how tiles that share an SM fill it, and counts of multiply-adds and of elements over the base time.
    `calls` are products (GEMM, convolution, grouped GEMM) and `dtypes` the modes that they run in.
    """
    sizes = numbers_of(product_sizes, calls, 5)
    peaks = dict(spec.peaks)  # products of whole numbers have none: they run as other arithmetic does
    sm_flop_per_s = np.array([peaks.get(dtype, spec.vector_flop_per_s) for dtype in dtypes]) / spec.sm_count
    asked = np.column_stack([*sizes, sm_flop_per_s, base_s])
    first, of_call = distinct_rows(asked)  # a sweep asks for one product at many points: this takes most of its columns
    asked = asked[first]
    parts = [np.empty((0, len(tile_time_names())))]
    for start in range(0, len(asked), _AT_ONCE):
        *own, rate, own_base_s = asked[start : start + _AT_ONCE].T
        parts.append(_ratios(np.array(own), rate, own_base_s, spec))
    return np.concatenate(parts)[of_call]


def _ratios(sizes: FloatArray, flop_per_s: FloatArray, base_s: FloatArray, spec: DeviceSpec) -> FloatArray:
    """As `tile_time_ratios`, of some products; `sizes` (5, products) as `product_sizes`, the rate that of one SM."""
    batch, m, n, k, itemsize = sizes[:, :, None, None]
    sm_flop_per_s = flop_per_s[:, None, None]
    sm_bytes_per_s = _L2_OVER_HBM * spec.hbm_bytes_per_s / spec.sm_count
    tile_m, tile_n = (np.array(sides, dtype=np.float64)[None, :, None] for sides in zip(*TILES, strict=True))
    splits = np.array(_SPLITS, dtype=np.float64)[None, None, :]

    inner = np.ceil(k / splits / _INNER_STEP) * _INNER_STEP
    waves = np.ceil(batch * np.ceil(m / tile_m) * np.ceil(n / tile_n) * splits / spec.sm_count)
    arithmetic_s = waves * 2 * tile_m * tile_n * inner / sm_flop_per_s
    loading_s = waves * (tile_m + tile_n) * inner * itemsize / sm_bytes_per_s
    adding_s = _SPLIT_OVERHEAD_S + batch * m * n * 4 * splits / (_L2_OVER_HBM * spec.hbm_bytes_per_s)
    time_s = np.maximum(arithmetic_s, loading_s) + inner / _INNER_STEP * _STEP_LATENCY_S + (splits > 1) * adding_s
    split_s = time_s.min(axis=2)
    columns = np.concatenate([time_s[:, :, 0], split_s, split_s.min(axis=1, keepdims=True)], axis=1)
    shared = _shared_columns(sizes[0], sizes[1], sizes[2], sizes[3], base_s * 1e6, spec.sm_count)
    return np.hstack([np.log2(columns / base_s[:, None]), shared])


def _shared_columns(
    batch: FloatArray, m: FloatArray, n: FloatArray, k: FloatArray, base_us: FloatArray, sm_count: int
) -> FloatArray:
    places = sm_count * _RESIDENT
    columns = []
    for tile_m, tile_n in _SHARED_TILES:
        tiles = batch * np.ceil(m / tile_m) * np.ceil(n / tile_n)
        waves = np.ceil(tiles / places)
        columns += [tiles / (waves * places), np.log2(waves * _RESIDENT * tile_m * tile_n * k / base_us)]
    rates = (np.log2(count / base_us) for count in (k, batch * m, batch * n, batch * m * n))
    return np.column_stack([*columns, *rates])
