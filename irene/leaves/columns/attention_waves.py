"""How long attention would take by its blocks: each block of queries walks over the keys, step after step.

With few heads and queries most SMs idle while a few walk a long way, which a roofline does not see. As for products,
the regressor gets candidates as ratios to the base time; which block sizes a kernel has is not known here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from irene.arrays import FloatArray
from irene.hardware.spec import DeviceSpec
from irene.primitives.attention import attention_shape
from irene.primitives.call import DTYPE_BYTES, Call
from irene.primitives.shapes import compute_dtype
from irene.primitives.stacks import numbers_of

_BLOCKS = ((128, 128), (64, 64), (64, 128), (32, 128))  # queries x keys
# Where a block is small, several share an SM: blocks of so many queries, so many to an SM.
_SHARED_BLOCKS = tuple((queries, resident) for queries in (32, 64, 128) for resident in (2, 4))
_STEP_LATENCY_S = 300e-9
_L2_OVER_HBM = 2.0


def attention_wave_names() -> tuple[str, ...]:
    """Column names of `attention_wave_ratios`, in order."""
    per_block = ("log2_walk_time", "log2_step_latency", "log2_full_waves", "block_wave_efficiency")
    whole = ("log2_products_time", "log2_scores_time", "log2_query_rows", "log2_batch_heads", "log2_kv_bytes",
             "log2_mask_scores_bytes", "is_half_head_size")  # fmt: skip
    shared = [f"{name}_{q}_by_{n}" for q, n in _SHARED_BLOCKS for name in ("block_wave_efficiency", "log2_steps_rate")]
    rates = ("log2_keys_rate", "log2_key_elements_rate")
    return (*(f"{name}_{q}x{k}" for q, k in _BLOCKS for name in per_block), *whole, *shared, *rates)


def attention_wave_ratios(
    calls: Sequence[Call], dtypes: Sequence[str], base_s: FloatArray, spec: DeviceSpec
) -> FloatArray:
    """Columns as named by `attention_wave_names`, shape (calls, columns).

    Times are log2 ratios to `base_s`, rates log2 of counts per microsecond of it.
    """
    batch, heads, kv_heads, q_len, kv_len, head_size, itemsize, halved, masked = numbers_of(_sizes, calls, 9)
    half = itemsize == 2
    peak = np.where(half, spec.peak("bfloat16"), spec.vector_flop_per_s)
    padded = np.ceil(head_size / 64) * 64
    columns = []
    for q_block, k_block in _BLOCKS:
        blocks = batch * heads * np.ceil(q_len / q_block)
        steps = np.ceil(kv_len / k_block) * (1 - 0.5 * halved) + 0.5 * halved
        waves = np.ceil(blocks / spec.sm_count)
        arithmetic_s = 4 * q_block * k_block * padded / (peak / spec.sm_count)
        loading_s = 2 * k_block * padded * itemsize / (_L2_OVER_HBM * spec.hbm_bytes_per_s / spec.sm_count)
        columns += [
            np.log2(waves * steps * np.maximum(arithmetic_s, loading_s) / base_s),
            np.log2(steps * _STEP_LATENCY_S / base_s),
            np.log2(waves),
            blocks / (waves * spec.sm_count),
        ]
    scores = batch * heads * q_len * kv_len
    products = np.where(np.array(dtypes) == "tf32", spec.peak("tf32"), spec.vector_flop_per_s)
    columns += [
        np.log2(4 * scores * head_size / products / base_s),
        np.log2(scores * 4 / spec.hbm_bytes_per_s / base_s),
        np.log2(batch * heads * q_len),
        np.log2(batch * heads),
        np.log2(batch * kv_heads * kv_len * head_size * itemsize),
        masked * np.log2(scores * itemsize),
        half * np.log2(head_size),
    ]
    base_us = base_s * 1e6
    for q_block, resident in _SHARED_BLOCKS:
        blocks, places = batch * heads * np.ceil(q_len / q_block), spec.sm_count * resident
        waves = np.ceil(blocks / places)
        columns += [blocks / (waves * places), np.log2(waves * np.ceil(kv_len / 64) / base_us)]
    columns += [np.log2(kv_len / base_us), np.log2(kv_len * head_size / base_us)]
    return np.column_stack(columns)


def _sizes(call: Call) -> tuple[int, ...]:
    """Sizes, each one at least; bytes of an element; whether half of the scores are skipped, and whether masked."""
    shape = attention_shape(call)
    sizes = (shape.batch, shape.heads, shape.kv_heads, shape.q_len, shape.kv_len, shape.head_size)
    itemsize, is_halved = DTYPE_BYTES[compute_dtype(call)], shape.is_causal and shape.q_len == shape.kv_len
    return *(max(size, 1) for size in sizes), itemsize, is_halved, shape.has_mask
