"""A gate on joules: do the others need more than the base by more than was allowed?"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from irene.errors import BadInput
from irene.explanation.comparison import Comparison
from irene.quoting import quote

RULE = "the predicted ratio decides; the interval says how sure it is"
MEASURES = {"energy_j": "a call", "energy_per_token_j": "a token", "energy_per_sample_j": "a sample"}
"""What the joules of a comparison are counted by, in words."""


@dataclass(frozen=True, slots=True)
class Check:
    """One entry against the base: `ratio` of joules with its 90 % interval, by the comparison's measure."""

    other: str
    ratio: float
    interval_ratio: tuple[float, float]
    failed: bool

    @property
    def is_sure(self) -> bool:
        """Whether the interval excludes one: the two differ by more than the uncertainty."""
        return not self.interval_ratio[0] <= 1.0 <= self.interval_ratio[1]


@dataclass(frozen=True, slots=True)
class Gate:
    """Every other entry of a comparison against its first, `base`.

    `fail_above` is the allowed rise as a share (0.05: five per cent); `measure` what is counted, as
    `Comparison.ranked_by`.
    """

    base: str
    fail_above: float
    measure: str
    checks: tuple[Check, ...]
    rule: str = RULE

    @property
    def failed(self) -> bool:
        return any(check.failed for check in self.checks)

    def lines(self) -> list[str]:
        """A sentence for each check: ratio, interval, and the rule that decided."""
        return [
            f"{'failed' if check.failed else 'passed'}: {check.other} needs x {check.ratio:.4g} the joules "
            f"{MEASURES[self.measure]} of {self.base} (90 % interval {check.interval_ratio[0]:.4g} to "
            f"{check.interval_ratio[1]:.4g}, {'larger than' if check.is_sure else 'within'} the uncertainty); allowed "
            f"is x {1 + self.fail_above:.4g}, and {self.rule}"
            for check in self.checks
        ]

    def to_json(self) -> dict[str, Any]:
        """The key `gate` of what `irene compare --format json` prints."""
        return {**asdict(self), "failed": self.failed}


def check_gate(comparison: Comparison, fail_above: float) -> Gate:
    """Hold every other entry against the first one, which may rise by the share `fail_above`.

    Joules are those of a call where all do the same work, else those of a token or a sample, as the ranking.

    >>> import irene
    >>> both = irene.compare({name: irene.predict(name, batch_size=8) for name in ("bert-tiny", "bert-mini")})
    >>> check_gate(both, 0.05).failed, check_gate(both, 9.0).failed
    (True, False)
    """
    checks = []
    for entry in comparison.entries[1:]:
        found = comparison.difference(comparison.base.name, entry.name)
        factors = {"energy_j": 1.0, "energy_per_token_j": found.factor_per_token or 1.0}
        factor = factors.get(comparison.ranked_by, found.factor_per_sample)
        ratio = found.ratio * factor
        low, high = found.interval_ratio
        checks.append(Check(entry.name, ratio, (low * factor, high * factor), ratio > 1.0 + fail_above))
    return Gate(comparison.base.name, fail_above, comparison.ranked_by, tuple(checks))


def read_limit(text: str) -> float:
    """The share that '5%' or '0.05' means. Raises BadInput for anything else, a bare '5' among it.

    >>> read_limit("5%"), read_limit("0.05"), read_limit("150 %")
    (0.05, 0.05, 1.5)
    """
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value) or value < 0 or rest:
        raise BadInput(f"--fail-above: expected a rise like 5% or 0.05, got {quote(text)}.")
    if not percent and value >= 1:
        raise BadInput(f"--fail-above {text.strip()} would be {value:.0%}. Write {text.strip()}% if you mean per cent.")
    return value / 100 if percent else value
