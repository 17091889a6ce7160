"""Is a call inside the data? Its provenance: measured, interpolated, extrapolated, transferred or fallback."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from irene.leaves.leaf_table import LeafTable, fingerprint

SizeRange: TypeAlias = tuple[float, float, float, float]
"""Smallest and largest log2 of FLOP, then of bytes."""

# Beyond the trained range by more than this (a factor of two) a call is an extrapolation.
_MARGIN_LOG2 = 1.0
# Same sizes on the same units, other digits: what is known of one dtype is carried over to the other.
_STAND_INS = {"float16": "bfloat16", "tf32": "float32"}


@dataclass(frozen=True, slots=True)
class Domain:
    """What was measured: identities of metered calls, and the range of sizes that was timed, by kind and dtype."""

    metered: frozenset[str]
    ranges: Mapping[str, Mapping[str, SizeRange]]

    def provenance_of(self, table: LeafTable) -> list[str]:
        """One provenance a row of the table; calls that launch nothing count as measured (their cost is the host's)."""
        tiers = self.tier_of(table)
        return ["measured" if self.is_measured(table, row, tier) else tier for row, tier in enumerate(tiers)]

    def tier_of(self, table: LeafTable) -> list[str]:
        """What each row would be if it had not been metered itself."""
        return [self._tier_of_row(table, row) for row in range(len(table.calls))]

    def is_measured(self, table: LeafTable, row: int, tier: str) -> bool:
        """Whether a row of that tier was metered itself; to say so takes longer than to find the tier."""
        if tier in ("measured", "fallback"):
            return tier == "measured"
        return fingerprint(table.calls[row], table.dtypes[row], bool(table.cold[row])) in self.metered

    def _tier_of_row(self, table: LeafTable, row: int) -> str:
        kind, dtype = table.kinds[row], table.dtypes[row]
        if not table.launches[row]:
            return "measured"
        if kind == "unknown" or kind not in self.ranges:
            return "fallback"
        if table.traffic_bytes[row] == 0:  # an empty tensor: PyTorch launches nothing for it (63 ns measured)
            return "interpolated"
        timed, sizes = self.ranges[kind], _sizes(table, row)
        if dtype in timed:
            return "interpolated" if _is_inside(sizes, timed[dtype]) else "extrapolated"
        stand_in = timed.get(_STAND_INS.get(dtype, ""))
        return "transferred" if stand_in and _is_inside(sizes, stand_in) else "extrapolated"


def make_domain(timed: LeafTable, metered: LeafTable) -> Domain:
    """The domain of a predictor fitted on these two tables."""
    ranges: dict[str, dict[str, SizeRange]] = {}
    for index, (kind, dtype) in enumerate(zip(timed.kinds, timed.dtypes, strict=True)):
        flop, traffic = _sizes(timed, index)
        old = ranges.setdefault(kind, {}).get(dtype, (flop, flop, traffic, traffic))
        ranges[kind][dtype] = (min(old[0], flop), max(old[1], flop), min(old[2], traffic), max(old[3], traffic))
    rows = zip(metered.calls, metered.dtypes, metered.cold, strict=True)
    return Domain(frozenset(fingerprint(call, dtype, bool(cold)) for call, dtype, cold in rows), ranges)


def _sizes(table: LeafTable, index: int) -> tuple[float, float]:
    flop, traffic_bytes = float(table.flop[index]), float(table.traffic_bytes[index])
    return (math.log2(flop) if flop > 1 else 0.0, math.log2(traffic_bytes) if traffic_bytes > 1 else 0.0)


def _is_inside(sizes: tuple[float, float], bounds: SizeRange) -> bool:
    pairs = zip(sizes, bounds[::2], bounds[1::2], strict=True)
    return all(low - _MARGIN_LOG2 <= size <= high + _MARGIN_LOG2 for size, low, high in pairs)
