"""measuring: a plan becomes rows, on a machine with an NVIDIA GPU."""

from __future__ import annotations

from pathlib import Path


def collect(plan_path: str | Path, output: str | Path, *, time_limit_s: float | None = None) -> Path:
    """See `irene.measuring.collecting.collect`; torch is imported on the first call, not on import."""
    from irene.measuring.collecting import collect as collect_rows

    return collect_rows(plan_path, output, time_limit_s=time_limit_s)


__all__ = ["collect"]
