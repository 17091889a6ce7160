"""One board among those of its kind: it draws more than they, or less, for the same work.

What the factor changes is power. Where the board would then draw more than its cap, one clock slows the call; where the
cap had slowed it and need not any more, it runs faster.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from irene.arrays import FloatArray
from irene.leaves.leaf_model import LeafPrices, LeafValues
from irene.leaves.leaf_table import LeafTable

_CLOCK_EXPONENT = 3.0  # power goes with about the third power of the clock, as in `irene.predictor.power_cap`


@dataclass(frozen=True, slots=True, eq=False)
class CardLeaves:
    """`leaves` on a board that draws `factor` times what others do, up to `power_cap_w`."""

    leaves: LeafPrices
    factor: float
    power_cap_w: float

    def predict(self, table: LeafTable) -> LeafValues:
        values = self.leaves.predict(table)
        wanted_w = self.factor * values.power_w * values.slowing**_CLOCK_EXPONENT
        slowing = np.maximum(wanted_w / self.power_cap_w, 1.0) ** (1.0 / _CLOCK_EXPONENT)
        return LeafValues(values.duration_s * slowing / values.slowing, np.minimum(wanted_w, self.power_cap_w), slowing)

    def predict_burst_s(self, table: LeafTable) -> FloatArray:
        """A burst is over before the cap answers."""
        return self.leaves.predict_burst_s(table)
