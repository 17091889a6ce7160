"""Features of exchanges between ranks: how many bytes, among how many, in how many steps, and which collective."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from irene.arrays import FloatArray
from irene.primitives.call import Call
from irene.primitives.chip import Chip
from irene.primitives.collectives import exchange_of
from irene.primitives.kinds import COLLECTIVES
from irene.primitives.log_sizes import log2_size

COLLECTIVE_DOCS = {
    "log2_payload_bytes": "log2 of the bytes that all ranks have, or that are reduced",
    "log2_link_bytes": "log2 of the bytes that each rank sends, by a ring",
    "log2_ranks": "log2 of the number of ranks",
    "log2_steps": "log2 of the steps of the ring, one after the other",
    **{f"is_{name}": f"1 for {name}" for name in COLLECTIVES},
}


def collective_columns(calls: Sequence[Call], chip: Chip) -> list[FloatArray]:
    """The columns of family 'collective' after those that all families have, each of shape (calls,)."""
    exchanges = [exchange_of(call) for call in calls]
    sizes = [[getattr(e, name) for e in exchanges] for name in ("payload_bytes", "link_bytes", "ranks", "steps")]
    names = [np.array([e.name == name for e in exchanges], dtype=np.float64) for name in COLLECTIVES]
    return [*(log2_size(size) for size in sizes), *names]
