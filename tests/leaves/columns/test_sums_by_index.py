"""What regressors see of sums by index: how many additions meet in one place, and in how many bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from irene.hardware.devices import load_device
from irene.leaves.columns.sums_by_index import SUMS_BY_INDEX, sums_by_index
from irene.measuring.programs import on_meta, record_program
from irene.primitives.call import Call

BASE_S = 2e-6


def columns(call: Call) -> dict[str, float]:
    row = sums_by_index([call], ["float32"], np.array([BASE_S]), load_device("h200"))[0]
    return dict(zip(SUMS_BY_INDEX, row.tolist(), strict=True))


def added(rows: int, targets: int, dtype: str = "float32", width: int = 32) -> Call:
    index = torch.empty(rows, dtype=torch.int64, device="meta")
    into, source = on_meta((targets, width), dtype), on_meta((rows, width), dtype)
    return record_program(lambda a, i, b: a.index_add(0, i, b), [into, index, source])[-1]


def test_additions_that_meet_in_one_place_are_counted() -> None:
    seen = columns(added(4096, 64))
    assert seen["log2_additions_a_place"] == pytest.approx(6.0)  # 4096 rows into 64
    assert seen["log2_additions"] == pytest.approx(17.0) and seen["log2_places"] == pytest.approx(11.0)
    assert 2 ** seen["log2_additions_rate"] == pytest.approx(4096 * 32 / 2)  # in the two microseconds of the base
    assert 2 ** seen["log2_places_rate"] == pytest.approx(64 * 32 / 2)
    assert 2 ** seen["log2_rows_rate"] == pytest.approx(4096 / 2)


def test_operators_are_told_apart_and_16_bits_from_32() -> None:
    for dtype, is_narrow in (("float32", 0.0), ("bfloat16", 1.0), ("float16", 1.0)):
        seen = columns(added(512, 64, dtype))
        assert [name for name in SUMS_BY_INDEX if name.startswith("is_") and seen[name] and "bits" not in name] == [
            "is_index_add"
        ]
        assert seen["is_index_add_in_16_bits"] == is_narrow and seen["is_scatter_add_in_16_bits"] == 0.0
