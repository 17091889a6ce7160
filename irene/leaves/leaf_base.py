"""The physics under a leaf: how long an ideal kernel would take, before anything is learned.

Learned models predict the ratio to this base in log space, so that what they do not know stays near the physics.
"""

from __future__ import annotations

from irene.hardware.roofline import compute_s, memory_s
from irene.hardware.spec import DeviceSpec
from irene.primitives.attention import attention_backend, attention_shape
from irene.primitives.call import DTYPE_BYTES, Call
from irene.primitives.kinds import kind_of
from irene.primitives.layouts import copied_bytes
from irene.primitives.shapes import compute_dtype
from irene.primitives.work import count_work

# What any kernel costs however small it is: launch to launch inside a graph, seen at 1 to 2 us on an H200.
KERNEL_FLOOR_S = 1.5e-6
# Plain-math attention converts 16-bit operands to float32 and makes about eight passes over float32 scores.
_MATH_SCORE_PASSES = 8
_MATH_KERNELS = 7


def base_duration_s(call: Call, dtype: str, spec: DeviceSpec) -> float:
    """Seconds by roofline plus the floor; plain-math attention is priced as the kernels that it consists of.

    `dtype` is the workload's: it tells TF32 from float32, which a call alone cannot.
    """
    work = count_work(call)
    if kind_of(call) != "attention":
        extra_bytes = copied_bytes(call) or _cast_bytes(call)
        extra_s = extra_bytes / spec.hbm_bytes_per_s + KERNEL_FLOOR_S if extra_bytes else 0.0
        return max(compute_s(work, dtype, spec), memory_s(work, spec)) + KERNEL_FLOOR_S + extra_s
    shape = attention_shape(call)
    backend = attention_backend(call)
    if backend == "math":
        scores = shape.batch * shape.heads * shape.q_len * shape.kv_len
        moved_bytes = scores * 4 * _MATH_SCORE_PASSES + work.traffic_bytes
        if shape.kv_heads < shape.heads:  # keys and values are repeated for every query head: written, then read
            kv_numel = shape.batch * shape.heads * shape.kv_len * (shape.head_size + shape.value_size)
            moved_bytes += 2 * kv_numel * DTYPE_BYTES[compute_dtype(call)]
        peak = spec.peak("tf32") if dtype == "tf32" else spec.vector_flop_per_s
        return shape.flop / peak + moved_bytes / spec.hbm_bytes_per_s + _MATH_KERNELS * KERNEL_FLOOR_S
    # float32 fused attention is no faster than on the vector units, TF32 on or off: each product is three in TF32
    # (torch, aten/src/ATen/native/transformers/cuda/mem_eff_attention/gemm_kernel_utils.h).
    peak = spec.vector_flop_per_s if backend == "efficient" and dtype in ("float32", "tf32") else spec.peak(dtype)
    return max(shape.executed_flop / peak, memory_s(work, spec)) + 2 * KERNEL_FLOOR_S


def _cast_bytes(call: Call) -> int:
    """A softmax that answers in another dtype casts its input first, in a kernel of its own: written, then read.

    Only float16 to float32 is one kernel (torch, aten/src/ATen/native/cuda/SoftMax.cu, half_to_float).
    """
    if kind_of(call) != "softmax" or not call.tensors or not call.outputs:
        return 0
    given, made = call.tensors[0], call.outputs[0]
    if given.dtype == made.dtype or (given.dtype, made.dtype) == ("float16", "float32"):
        return 0
    return 2 * made.bytes
