"""The least time that a call can take: no prediction goes below it, whatever was learned.

Of an exchange between ranks, its bytes at the bandwidth of the wires. Else
all products that a kernel does not skip at the peak of their dtype; and the traffic at full memory bandwidth, but for
what the L2 may still hold. Of 80,000 timed calls in data/h200 none took less than 1.09 times that, grouped products
apart: how many experts get rows, and are read, is not in the call.
"""

from __future__ import annotations

from irene.hardware.spec import DeviceSpec
from irene.hardware.system import require_link
from irene.primitives.attention import attention_shape
from irene.primitives.call import Call
from irene.primitives.collectives import exchange_of
from irene.primitives.kinds import kind_of
from irene.primitives.work import count_work


def least_duration_s(call: Call, dtype: str, spec: DeviceSpec) -> float:
    """Seconds that no kernel on `spec` can go below; 0 for a call that launches nothing.

    `dtype` is the workload's: it tells TF32 from float32, which a call alone cannot.

    >>> from irene.hardware.devices import load_device
    >>> from irene.primitives.call import TensorSpec
    >>> x = TensorSpec((8192, 8192), (8192, 1), "bfloat16")
    >>> round(least_duration_s(Call("aten.mm.default", (x, x), (), (x,)), "bfloat16", load_device("h200")) * 1e3, 2)
    1.11
    """
    work, kind = count_work(call), kind_of(call)
    if kind == "collective":
        return exchange_of(call).link_bytes / require_link(spec).line_bytes_per_s
    matmul_flop = attention_shape(call).executed_flop if kind == "attention" else work.matmul_flop
    matmul_s = matmul_flop / spec.peak(dtype) if matmul_flop else 0.0
    moved_bytes = 0 if kind == "grouped_gemm" else max(work.traffic_bytes - spec.l2_bytes, 0)
    return max(matmul_s + work.vector_flop / spec.vector_flop_per_s, moved_bytes / spec.hbm_bytes_per_s)
