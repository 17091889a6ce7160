"""How wrong a prediction may be: the 90 % quantile of log errors on cases that were not learned from.

Split-conformal with the finite-sample correction: of n errors, the ceil(0.9 (n + 1))-th smallest. Groups with too few
errors fall back to all errors together, never to a guess.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LEVEL = 0.9
WITH_RUNTIME = "with_runtime"
_FEWEST = 10


@dataclass(frozen=True, slots=True)
class Intervals:
    """Half-widths in log energy: by primitive kind, and by regime of a whole.

    Regimes are 'cuda_graph', 'eager', 'host_bound', and WITH_RUNTIME for any whole whose run was watched.
    """

    by_kind: Mapping[str, float]
    any_kind: float
    by_regime: Mapping[str, float]
    any_regime: float

    def of_kind(self, kind: str, provenance: str) -> float:
        """A primitive's half-width; outside the data it is doubled, for a bytes roof it is a factor of ten."""
        if provenance == "fallback":
            return max(math.log(10.0), self.any_kind)
        width = self.by_kind.get(kind, self.any_kind)
        return 2.0 * width if provenance in ("extrapolated", "transferred") else width

    def of_regime(self, regime: str) -> float:
        return self.by_regime.get(regime, self.any_regime)


def conformal_half_width(log_errors: Sequence[float]) -> float:
    """The half-width that covers 90 % of exchangeable errors.

    >>> conformal_half_width([0.1 * i for i in range(1, 20)])
    1.8
    """
    ranked = sorted(abs(error) for error in log_errors)
    place = min(len(ranked), math.ceil(LEVEL * (len(ranked) + 1)))
    return round(ranked[place - 1], 6)


def calibrate(kind_errors: Iterable[tuple[str, float]], regime_errors: Iterable[tuple[str, float]]) -> Intervals:
    """(kind, log error) of primitives and (regime, log error) of wholes, none of them from cases learned from."""
    by_kind, any_kind = _widths(list(kind_errors))
    by_regime, any_regime = _widths(list(regime_errors))
    return Intervals(by_kind, any_kind, by_regime, any_regime)


def _widths(errors: list[tuple[str, float]]) -> tuple[dict[str, float], float]:
    groups: dict[str, list[float]] = {}
    for group, error in errors:
        groups.setdefault(group, []).append(error)
    every = [error for _, error in errors]
    pooled = conformal_half_width(every) if every else math.log(2.0)
    return {g: conformal_half_width(e) for g, e in sorted(groups.items()) if len(e) >= _FEWEST}, pooled
