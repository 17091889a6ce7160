"""Is a call inside the data? Its provenance: measured, interpolated, extrapolated, transferred or fallback."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from irene.predictor.leaf_table import LeafTable, fingerprint

# What bounds a call's size: beyond the trained range by more than this factor of two it is an extrapolation.
_MARGIN_LOG2 = 1.0


@dataclass(frozen=True, slots=True)
class Domain:
    """What was measured: identities of metered calls, the dtypes timed, and size ranges by kind (log2, low and high)."""

    metered: frozenset[str]
    dtypes: frozenset[str]
    ranges: Mapping[str, tuple[float, float, float, float]]

    def provenance_of(self, table: LeafTable) -> list[str]:
        """One provenance a row of the table; calls that launch nothing count as measured (their cost is the host's)."""
        return [self._of_row(table, index) for index in range(len(table.calls))]

    def _of_row(self, table: LeafTable, index: int) -> str:
        kind, dtype = table.kinds[index], table.dtypes[index]
        if not table.launches[index]:
            return "measured"
        if kind == "unknown" or kind not in self.ranges:
            return "fallback"
        if fingerprint(table.calls[index], dtype, bool(table.cold[index])) in self.metered:
            return "measured"
        if dtype not in self.dtypes and dtype in ("float16", "tf32"):
            return "transferred"
        flop_low, flop_high, bytes_low, bytes_high = self.ranges[kind]
        flop, traffic = _log2(table.flop[index]), _log2(table.traffic_bytes[index])
        inside = (
            flop_low - _MARGIN_LOG2 <= flop <= flop_high + _MARGIN_LOG2
            and bytes_low - _MARGIN_LOG2 <= traffic <= bytes_high + _MARGIN_LOG2
        )
        return "interpolated" if inside else "extrapolated"


def make_domain(timed: LeafTable, metered: LeafTable) -> Domain:
    ranges: dict[str, tuple[float, float, float, float]] = {}
    for index, kind in enumerate(timed.kinds):
        flop, traffic = _log2(timed.flop[index]), _log2(timed.traffic_bytes[index])
        old = ranges.get(kind, (flop, flop, traffic, traffic))
        ranges[kind] = (min(old[0], flop), max(old[1], flop), min(old[2], traffic), max(old[3], traffic))
    return Domain(frozenset(_identities(metered)), frozenset(timed.dtypes), dict(sorted(ranges.items())))


def _identities(table: LeafTable) -> Iterable[str]:
    for call, dtype, cold in zip(table.calls, table.dtypes, table.cold, strict=True):
        yield fingerprint(call, dtype, bool(cold))


def _log2(value: float) -> float:
    return math.log2(value) if value > 1 else 0.0
