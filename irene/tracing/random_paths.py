"""A forward that takes another way from call to call: found where it drew random numbers, by recording it again."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from typing import Any

from irene.tracing.recording import Recording

RANDOM = "Its path depends on random numbers: calls differ from run to run, and one run is priced."
_RUNS = 4  # more, so that a fair coin is missed once in sixteen times


def record_with_chance(record: Callable[[], Recording]) -> Recording:
    """What `record` gives, with a note where it gives something else when random numbers are others.

    Another thread may have drawn them: recording again costs time then, and finds nothing.
    """
    before = _states()
    found = record()
    has_drawn = found.has_drawn or before != _states()
    if has_drawn and any(record().root != found.root for _ in range(_RUNS)):
        return found._replace(notes=(*found.notes, RANDOM))
    return found


def _states() -> tuple[Any, ...]:
    """Of the generators of Python and NumPy that a forward may draw from.

    Never torch's: reading its state takes a lock. A child forked while another thread held it would wait for ever.
    """
    numpy = sys.modules.get("numpy")
    drawn = numpy.random.get_state()[1:3] if numpy is not None else (b"", 0)
    return random.getstate(), bytes(drawn[0]), drawn[1]
