"""Bytes on the device while a workload runs: what stays, what is kept between steps, what comes and goes."""

from __future__ import annotations

from dataclasses import dataclass

WORKSPACE_BYTES = 130 * 2**20
"""An allowance for what libraries keep for themselves: on an H200 each of eight families holds so much or more beside
its weights before a call (experiments/peak-memory). Of it cuBLAS takes 32 MiB from torch's allocator for each handle
and stream on Hopper (torch, aten/src/ATen/cuda/CublasHandlePool.cpp)."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes by what they are for, at the moment when most are needed.

    `weights` are parameters and buffers, `kv_cache` what is kept from one decode step to the next, `activations` the
    rest, inputs among them. What the CUDA context takes is no part: the allocator does not see it.

    >>> Memory(weights=100, kv_cache=20, activations=3).peak == 123 + WORKSPACE_BYTES
    True
    """

    weights: int
    kv_cache: int
    activations: int

    @property
    def peak(self) -> int:
        """The allocator's peak, the allowance for libraries included."""
        return self.weights + self.kv_cache + self.activations + WORKSPACE_BYTES

    def to_json(self) -> dict[str, int]:
        return {
            "weights": self.weights, "kv_cache": self.kv_cache, "activations": self.activations, "peak": self.peak,
        }  # fmt: skip
