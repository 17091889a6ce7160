"""What a multiprocessor does in a cycle: the peaks of the highest clock, what issue leaves of them, and operands.

A multiprocessor does a power of two of operations in a cycle: 4,096 of a 16-bit product on Hopper. The 989 TFLOP/s of
an H200 are those of 132 of them at 1.83 GHz, while its highest clock is 1.98; other sheets quote the highest clock.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

from irene.hardware.spec import DeviceSpec

# float32 products: four schedulers issue to 128 lanes, so that every load takes the place of a product. An H200 reaches
# 76.6 % of its float32 peak at its full clock (the best of 129 windows of data/h200). With 64 lanes there are two issue
# slots for each, and the lanes decide: 95 % is then taken to be what the first and last tiles leave.
_LANES_ISSUED = 128.0
_ISSUE_BOUND_SHARE, _LANE_BOUND_SHARE = 0.766, 0.95
# Of a 16-bit product's energy on Hopper, what goes with reading operands: the smaller a tensor core, the more often
# each is read. It is what large products on an L40S, at its cap, leave room for (experiments/other-gpus).
_OPERAND_SHARE, _HOPPER_PER_CYCLE = 0.13, 4096.0


@lru_cache(maxsize=256)
def at_highest_clock(spec: DeviceSpec) -> DeviceSpec:
    """The sheet with the peaks of its highest clock; that of float32 products is what issue leaves of it.

    >>> from irene.hardware.devices import load_device
    >>> round(at_highest_clock(load_device("h200")).peak("bfloat16") / 1e12)
    1071
    """
    peaks = {dtype: spec.sm_count * spec.max_sm_clock_hz * _per_cycle(spec, peak) for dtype, peak in spec.peaks}
    if "float32" in peaks:
        lanes = spec.vector_flop_per_s / (2.0 * spec.sm_count * spec.max_sm_clock_hz)
        peaks["float32"] *= min(_ISSUE_BOUND_SHARE * _LANES_ISSUED / lanes, _LANE_BOUND_SHARE)
    return replace(spec, peaks=tuple(sorted(peaks.items())))


def operand_energy(spec: DeviceSpec) -> float:
    """Energy of an operation of a product on tensor cores relative to Hopper's: small ones read operands more often.

    >>> from irene.hardware.devices import load_device
    >>> round(operand_energy(load_device("l40s")), 2), operand_energy(load_device("h100-sxm"))
    (1.39, 1.0)
    """
    halves = [_per_cycle(spec, peak) for dtype, peak in spec.peaks if dtype == "float16"]
    return 1.0 + _OPERAND_SHARE * (_HOPPER_PER_CYCLE / halves[0] - 1.0) if halves else 1.0


def _per_cycle(spec: DeviceSpec, flop_per_s: float) -> float:
    """Operations of a multiprocessor in a cycle: the nearest power of two."""
    return float(2.0 ** round(math.log2(flop_per_s / (spec.sm_count * spec.max_sm_clock_hz))))
