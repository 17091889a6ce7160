"""Peaks of the highest clock: the quoted one of a sheet times the clock's ratio, and what issue leaves of float32."""

from __future__ import annotations

import pytest

from irene.hardware.cycles import at_highest_clock, operand_energy
from irene.hardware.devices import list_devices, load_device


@pytest.mark.parametrize("device", list_devices())
def test_a_quoted_peak_is_of_a_clock_near_the_highest(device: str) -> None:
    spec = load_device(device)
    for dtype, peak in at_highest_clock(spec).peaks:
        if dtype != "float32":
            assert 0.9 < peak / spec.peak(dtype) < 1.15, dtype


@pytest.mark.parametrize(("device", "share"), [("h200", 0.766), ("l4", 0.766), ("v100-sxm2-32gb", 0.95), ("t4", 0.95)])
def test_issue_bounds_float32_where_a_scheduler_has_more_lanes(device: str, share: float) -> None:
    spec = load_device(device)
    assert at_highest_clock(spec).peak("float32") / spec.peak("float32") == pytest.approx(share, rel=0.01)


def test_operands_cost_most_where_tensor_cores_are_small() -> None:
    costs = [
        operand_energy(load_device(name)) for name in ("b200-sxm", "h100-sxm", "a100-sxm-80gb", "l40s", "rtx-4090")
    ]
    assert costs == sorted(costs) and costs[1] == 1.0
