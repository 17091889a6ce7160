"""The physics under a leaf: how long an ideal kernel would take, before anything is learned.

Learned models predict the ratio to this base in log space, so that what they do not know stays near the physics.
"""

from __future__ import annotations

import math

from irene.hardware.roofline import compute_s, memory_s
from irene.hardware.spec import DeviceSpec
from irene.hardware.system import require_link
from irene.primitives.attention import attention_backend, attention_shape
from irene.primitives.call import DTYPE_BYTES, Call
from irene.primitives.collectives import exchange_of
from irene.primitives.depthwise import is_depthwise
from irene.primitives.kinds import kind_of
from irene.primitives.layouts import copied_bytes
from irene.primitives.recurrent import recurrent_steps
from irene.primitives.scans import scan_steps
from irene.primitives.shapes import compute_dtype, gemm_shape
from irene.primitives.work import count_work

# Plain-math attention converts 16-bit operands to float32 and makes about eight passes over float32 scores.
_MATH_SCORE_PASSES = 8
_MATH_KERNELS = 7
# Kernels that dequantise packed weights on the vector units, anew for each block of 16 rows (torch,
# aten/src/ATen/native/cuda/int4mm.cu): on an H200 none gets beyond half of these units' peak.
_DEQUANTISING = ("_weight_int4pack_mm", "_weight_int8pack_mm")
_BLOCK_ROWS = 16
_ROW_A_BLOCK = ("layer_norm", "native_layer_norm")
# Beyond its bytes, a row of 128 to 1,024 elements takes 0.9 to 1.5 ns of an H200 (data/h200): so many latencies of a
# block that loads, reduces thrice and loads again.
_NORM_THREADS, _NORM_LOADS = 128, 16


def base_duration_s(call: Call, dtype: str, spec: DeviceSpec) -> float:
    """Seconds by roofline plus the floor; plain-math attention is priced as the kernels that it consists of.

    The steps of a recurrent layer wait for one another, and each costs the floor. `dtype` is the workload's: it tells
    TF32 from float32, which a call alone cannot. An exchange between ranks goes by the link; BadInput where a device
    has none.
    """
    work = count_work(call)
    if call.name in _DEQUANTISING:
        return max(_dequantising_s(call, spec), memory_s(work, spec)) + spec.kernel_floor_s
    if kind_of(call) == "collective":
        return require_link(spec).exchange_s(exchange_of(call))
    if kind_of(call) != "attention":
        extra_bytes = copied_bytes(call) or _cast_bytes(call) or _repeated_bytes(call)
        extra_s = extra_bytes / spec.hbm_bytes_per_s + spec.kernel_floor_s if extra_bytes else 0.0
        multiply_s = work.flop / spec.vector_flop_per_s if is_depthwise(call) else compute_s(work, dtype, spec)
        one_pass_s = max(multiply_s, memory_s(work, spec))
        return one_pass_s + spec.kernel_floor_s * max(recurrent_steps(call), 1) + extra_s + _walk_s(call, spec)
    shape = attention_shape(call)
    backend = attention_backend(call, spec.chip.attention_backends)
    if backend == "math":
        scores = shape.batch * shape.heads * shape.q_len * shape.kv_len
        moved_bytes = scores * 4 * _MATH_SCORE_PASSES + work.traffic_bytes
        if shape.kv_heads < shape.heads:  # keys and values are repeated for every query head: written, then read
            kv_numel = shape.batch * shape.heads * shape.kv_len * (shape.head_size + shape.value_size)
            moved_bytes += 2 * kv_numel * DTYPE_BYTES[compute_dtype(call)]
        peak = spec.peak("tf32") if dtype == "tf32" else spec.vector_flop_per_s
        return shape.flop / peak + moved_bytes / spec.hbm_bytes_per_s + _MATH_KERNELS * spec.kernel_floor_s
    # float32 fused attention is no faster than on the vector units, TF32 on or off: each product is three in TF32
    # (torch, aten/src/ATen/native/transformers/cuda/mem_eff_attention/gemm_kernel_utils.h).
    peak = spec.vector_flop_per_s if backend == "efficient" and dtype in ("float32", "tf32") else spec.peak(dtype)
    return max(shape.executed_flop / peak, memory_s(work, spec)) + 2 * spec.kernel_floor_s


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


def _repeated_bytes(call: Call) -> int:
    """Bytes of the further kernels of calls that pass over their tensor several times.

    A roll has a kernel for each dimension (torch, aten/src/ATen/native/TensorTransformations.h, roll_common); padding
    fills the output before it copies the input into it, unless nothing is padded (PadNd.cpp, constant_pad_nd); a group
    norm reads its input once for the moments and once more (cuda/group_norm_kernel.cu).
    """
    if not call.outputs or len(call.args) < 2:
        return 0
    if call.name in ("group_norm", "native_group_norm"):
        return call.tensors[0].bytes
    amounts = call.args[1]
    if call.name == "roll":
        dims = call.args[2] if len(call.args) > 2 else ()
        return 2 * call.outputs[0].bytes * max(len(dims) - 1, 0) if isinstance(dims, tuple) else 0
    is_constant = len(call.args) < 3 or call.args[2] == "constant" or call.name == "constant_pad_nd"
    if call.name in ("pad", "constant_pad_nd") and is_constant and isinstance(amounts, tuple):
        return call.outputs[0].bytes if any(isinstance(amount, int) and amount > 0 for amount in amounts) else 0
    return 0


def _walk_s(call: Call, spec: DeviceSpec) -> float:
    """Seconds of a kernel that walks over rows: a scan along an outer dimension, one load of a thread after the other.

    Or a layer norm, which gives each row a block of its own, however short (torch,
    aten/src/ATen/native/cuda/layer_norm_kernel.cu, vectorized_layer_norm_kernel).
    Or a weight norm that keeps the last dimension: sixteen columns a block, so that most of the chip is idle (torch,
    aten/src/ATen/native/cuda/WeightNorm.cu, weight_norm_fwd_last_dim_kernel).
    """
    if steps := scan_steps(call, spec.chip.sm_count * spec.chip.threads_per_sm):
        return spec.library.load_latency_s * steps
    if call.name in _ROW_A_BLOCK and len(call.args) > 1 and isinstance(call.args[1], tuple) and call.args[1]:
        rows = math.prod(call.tensors[0].shape[: -len(call.args[1])])
        blocks_at_once = spec.chip.sm_count * spec.chip.threads_per_sm // _NORM_THREADS
        return spec.library.load_latency_s * _NORM_LOADS * rows / blocks_at_once
    if call.name != "_weight_norm" or len(call.args) < 3:
        return 0.0
    shape = call.tensors[0].shape
    is_last = len(shape) > 1 and call.args[2] == len(shape) - 1  # -1 is the norm over everything
    return spec.library.walked_row_s * math.prod(shape[:-1]) if is_last else 0.0


def _dequantising_s(call: Call, spec: DeviceSpec) -> float:
    """Seconds on the vector units of a product over whole blocks of rows."""
    shape = gemm_shape(call)
    return 2.0 * -(-shape.m // _BLOCK_ROWS) * _BLOCK_ROWS * shape.n * shape.k / spec.vector_flop_per_s
