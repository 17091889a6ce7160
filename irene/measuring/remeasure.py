"""Calls that were timed before, to be timed once more: on another card, or on the same one another day."""

from __future__ import annotations

import random
from pathlib import Path

from irene.measuring.plan import PrimitiveCase
from irene.primitives.call import read_signature
from irene.primitives.kinds import kind_of

# Shorter calls are not judged: a launch's own time is too large a part of theirs.
_SHORTEST_S = 20e-6


def measured_cases(directory: Path, most: dict[str, int], rng: random.Random) -> list[PrimitiveCase]:
    """Of each kind named in `most`, so many of the timed calls in `directory` that took 20 us or longer, at random."""
    from irene.dataset.store import has_drawn_loads, label_cases, load_rows

    rows = load_rows(directory)
    labels = label_cases(rows[~has_drawn_loads(rows)])
    timed = labels[(labels["method"] == "events") & (labels["level"] == "primitive")]
    timed = timed[timed.groupby("case")["duration_s"].transform("median") >= _SHORTEST_S].drop_duplicates("case")
    by_kind: dict[str, list[PrimitiveCase]] = {kind: [] for kind in most}
    columns = (timed["signature"], timed["weights"], timed["families"], timed["dtype"])
    for signature, weights, families, dtype in zip(*columns, strict=True):
        call = read_signature(signature)
        if (kind := kind_of(call)) in by_kind:
            by_kind[kind].append(PrimitiveCase(call, weights, families, False, dtype))
    return [case for kind, cases in by_kind.items() for case in rng.sample(cases, min(most[kind], len(cases)))]
