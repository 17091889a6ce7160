"""How wrong a prediction for another device may be, by what was measured there: half-widths of 90 % intervals.

Of primitives: the 90 % quantiles of errors in time on others' tables, with whole architectures held out
(experiments/other-gpus, `tiers.csv`: 0.28, 0.28, 0.23, 0.22), and a little for joules. Of whole models joules were
found of one other GPU only: 0.30 covers 89 % of 132 passes on an A100. With points and models the widths are those of
experiments/calibrate-h200, where 40 points cover 88 %; of tiers between no more is known than that they lie between.
"""

from __future__ import annotations

from dataclasses import dataclass

from irene.predictor.intervals import OUTSIDE_FACTOR, Intervals


@dataclass(frozen=True, slots=True)
class Tier:
    """From so many points on: half-widths in log energy of a primitive, of a pass, and of one with metered models."""

    points: int
    primitive: float
    whole: float
    whole_with_models: float


TIERS = (
    Tier(0, 0.30, 0.30, 0.27),
    Tier(8, 0.30, 0.28, 0.26),
    Tier(40, 0.25, 0.22, 0.13),
    Tier(200, 0.22, 0.20, 0.12),
)


def intervals_of_tier(points: int, models: int) -> Intervals:
    """The widths of a device of which so many primitives and whole models were measured; both may be 0."""
    tier = max((tier for tier in TIERS if tier.points <= points), key=lambda tier: tier.points)
    whole = tier.whole_with_models if models else tier.whole
    # What is transferred counts with OUTSIDE_FACTOR times the width that is kept.
    return Intervals({}, tier.primitive / OUTSIDE_FACTOR, {}, whole / OUTSIDE_FACTOR, {}, 0.0)
