"""The library's tile for a product: picks as they were seen, and times that obey tiles and waves."""

from __future__ import annotations

import numpy as np
import pytest

from irene.hardware.devices import load_device
from irene.leaves.columns.library_tiles import LIBRARY_TILES, library_tiles
from irene.primitives.call import Call, TensorSpec

SPEC = load_device("h200")


def product(m: int, n: int, k: int, dtype: str = "bfloat16") -> Call:
    x, weight = TensorSpec((m, k), (k, 1), dtype), TensorSpec((n, k), (k, 1), dtype, weight=True)
    return Call("aten.linear.default", (x, weight), (), (TensorSpec((m, n), (n, 1), dtype),))


def tiles_of(call: Call, mode: str = "bfloat16", base_s: float = 1e-6) -> dict[str, float]:
    """Columns of one call; times in microseconds for the base of 1 us."""
    columns = library_tiles([call], [mode], np.array([base_s]), SPEC)[0]
    return dict(zip(LIBRARY_TILES, columns, strict=True))


# What ran on an H200 (CUDA 13.0): kernel names of the library, its columns first, and microseconds of one run.
SEEN = [
    ((4096, 4096, 1024), "bfloat16", 256, 128, 47.8),
    ((16384, 9216, 3072), "bfloat16", 192, 192, 1029.1),
    ((1067, 21760, 384), "bfloat16", 256, 120, 34.0),
    ((10640, 1280, 3392), "bfloat16", 256, 144, 110.0),
]


@pytest.mark.parametrize(("sizes", "mode", "columns", "rows", "seen_us"), SEEN)
def test_picks_are_near_those_that_ran(
    sizes: tuple[int, int, int], mode: str, columns: int, rows: int, seen_us: float
) -> None:
    tile = tiles_of(product(*sizes), mode)
    assert 2 ** tile["log2_picked_time"] == pytest.approx(seen_us, rel=0.1)
    assert 2 ** tile["log2_picked_size"] == pytest.approx(rows * columns, rel=0.25)


def test_one_row_of_tiles_more_than_fills_the_waves_costs_a_wave() -> None:
    full, more = (tiles_of(product(128 * 132, n, 4096, "float32"), "float32") for n in (128, 129))
    assert full["log2_picked_waves"] == 0.0 and full["picked_fill"] == 1.0
    assert 2 ** (more["log2_picked_time"] - full["log2_picked_time"]) > 1.2


def test_a_long_inner_dimension_is_worth_splitting() -> None:
    for mode, dtype in (("bfloat16", "bfloat16"), ("tf32", "float32"), ("float32", "float32")):
        thin, wide = (tiles_of(product(*sizes, dtype), mode) for sizes in ((64, 64, 65536), (8192, 8448, 512)))
        assert thin["log2_splits"] > 1 and thin["log2_split_time"] < thin["log2_picked_time"] - 1
        assert wide["log2_split_time"] >= wide["log2_unsplit_time"]


def test_times_are_ratios_to_the_base_and_the_best_is_the_least() -> None:
    columns = [tiles_of(product(300, 3000, 700), base_s=base_s) for base_s in (1e-6, 4e-6)]
    for name in LIBRARY_TILES:
        assert columns[0][name] - columns[1][name] == pytest.approx(2.0 if name.endswith("_time") else 0.0)
    assert columns[0]["log2_unsplit_time"] <= columns[0]["log2_picked_time"]
    assert columns[0]["log2_pick_margin"] <= 0.0


def test_each_row_is_priced_by_its_own_kernels_in_any_order() -> None:
    calls = [product(777, 1234, 512), product(777, 1234, 512, "float32"), product(777, 1234, 512, "float32")]
    modes = ["bfloat16", "tf32", "float32"]
    together = library_tiles(calls, modes, np.full(3, 1e-6), SPEC)
    alone = [library_tiles([call], [mode], np.full(1, 1e-6), SPEC)[0] for call, mode in zip(calls, modes, strict=True)]
    np.testing.assert_array_equal(together, alone)
    assert (np.diff(together[:, 0]) > 0).all()  # 16 bits are the fastest, vector units the slowest


def test_what_has_no_kernels_of_its_own_is_priced_all_the_same() -> None:
    assert np.isfinite(list(tiles_of(product(3, 5, 7, "float64"), "float64").values())).all()
    assert np.isfinite(list(tiles_of(product(0, 5, 7)).values())).all()
    assert library_tiles([], [], np.empty(0), SPEC).shape == (0, len(LIBRARY_TILES))
