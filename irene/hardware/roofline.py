"""The roofline: the least time that a device needs for some work, and which of its two limits decides.

Williams, Waterman, Patterson: "Roofline: an insightful visual performance model", CACM 52(4), 2009. Matrix products
run at the tensor-core peak of their dtype, other arithmetic at the float32 peak of the CUDA cores. The two are
different kernels, one after the other, so their times add; memory traffic goes on beside them.
"""

from __future__ import annotations

from typing import Literal

from irene.hardware.spec import DeviceSpec
from irene.primitives.work import Work

Bound = Literal["compute_bound", "memory_bound"]


def compute_s(work: Work, dtype: str, spec: DeviceSpec) -> float:
    """Seconds of arithmetic at peak: the matrix products, then everything else.

    Raises UnknownName for a dtype that the device has no peak for, if the work has matrix products at all.
    """
    matmul_s = work.matmul_flop / spec.peak(dtype) if work.matmul_flop else 0.0
    return matmul_s + work.vector_flop / spec.vector_flop_per_s


def memory_s(work: Work, spec: DeviceSpec) -> float:
    """Seconds that the traffic takes at full memory bandwidth (weights and activations all from HBM)."""
    return work.traffic_bytes / spec.hbm_bytes_per_s


def roofline_s(work: Work, dtype: str, spec: DeviceSpec) -> float:
    """The least seconds that `spec` needs for `work`, matrix products in `dtype`; 0 only for work that is nothing.

    >>> from irene.hardware.devices import load_device
    >>> h200 = load_device("h200")
    >>> gemm = Work(2 * 8192**3, 2 * 8192**3, 2 * 8192**2, 2 * 8192**2, 2 * 8192**2)
    >>> round(roofline_s(gemm, "bfloat16", h200) * 1e3, 2), bound_of(gemm, "bfloat16", h200)
    (1.11, 'compute_bound')
    """
    return max(compute_s(work, dtype, spec), memory_s(work, spec))


def ridge_flop_per_byte(dtype: str, spec: DeviceSpec) -> float:
    """Arithmetic intensity above which products in `dtype` are bound by arithmetic, FLOP per byte.

    >>> from irene.hardware.devices import load_device
    >>> round(ridge_flop_per_byte("bfloat16", load_device("h200")))
    206
    """
    return spec.peak(dtype) / spec.hbm_bytes_per_s


def bound_of(work: Work, dtype: str, spec: DeviceSpec) -> Bound:
    """Which limit decides `roofline_s`: arithmetic or memory (work that is nothing counts as memory-bound)."""
    return "compute_bound" if compute_s(work, dtype, spec) > memory_s(work, spec) else "memory_bound"
