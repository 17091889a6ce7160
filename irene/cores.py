"""How many processor cores this process may use: a container or `taskset` may grant fewer than there are."""

from __future__ import annotations

import os


def count_cores() -> int:
    """Cores that may be used, one at least."""
    if hasattr(os, "sched_getaffinity"):
        return max(len(os.sched_getaffinity(0)), 1)
    return os.cpu_count() or 1
