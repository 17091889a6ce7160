"""What the shapes of a call meet on a chip: how many places there are for its tiles, and which attention kernels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

AttentionBackend = Literal["cudnn", "flash", "efficient", "math"]
ATTENTION_BACKENDS: tuple[AttentionBackend, ...] = ("cudnn", "flash", "efficient", "math")


@dataclass(frozen=True, slots=True)
class Chip:
    """Streaming multiprocessors (SMs), threads that one holds, and attention kernels in PyTorch's order of preference.

    `attention_backends` are some of ATTENTION_BACKENDS; plain products ('math') are always the last.
    """

    sm_count: int
    threads_per_sm: int
    attention_backends: tuple[AttentionBackend, ...]
