"""The account of a joule: its parts, and from when on waiting for the host decides. One of each, for every room."""

from __future__ import annotations

from typing import TypeVar

from irene.arrays import BoolArray, FloatArray

PARTS = ("compute", "memory", "static", "launch_gap", "communication")
"""Every joule is in exactly one: arithmetic, data movement, idle power while kernels run, and while the GPU waits.

Between GPUs also communication: what exchanges draw above idle power, which is static while they run, waiting for the
other ranks included.

A field or column of a part is called by its name and `_j`.
"""


def parts_of(gpus: int) -> tuple[str, ...]:
    """The parts that a prediction for so many GPUs shows: one has nobody to communicate with.

    >>> parts_of(1)[-1], parts_of(2)[-1]
    ('launch_gap', 'communication')
    """
    return PARTS if gpus > 1 else PARTS[:-1]


HOST_BOUND_SHARE = 0.15
"""Where the GPU waits for longer than this share of the time, the host decides the time, and the error of it."""

GPU_BOUND_FROM_PCT = 100.0 * (1.0 - HOST_BOUND_SHARE)
"""The same border as it is measured: mean utilisation of the GPU."""

Seconds = TypeVar("Seconds", float, FloatArray)


def is_host_bound(gap_s: Seconds, duration_s: Seconds) -> bool | BoolArray:
    """Whether `gap_s` of waiting in `duration_s` are so much; numbers, or arrays of one shape.

    >>> is_host_bound(0.2, 1.0), is_host_bound(0.1, 1.0)
    (True, False)
    """
    return gap_s > HOST_BOUND_SHARE * duration_s


def name_regime(execution: str, gap_s: float, duration_s: float) -> str:
    """'host_bound' where the GPU waits for the host in eager execution; else the execution. Errors go by regimes.

    >>> name_regime("eager", 0.2, 1.0), name_regime("cuda_graph", 0.2, 1.0)
    ('host_bound', 'cuda_graph')
    """
    return "host_bound" if execution == "eager" and is_host_bound(gap_s, duration_s) else execution
