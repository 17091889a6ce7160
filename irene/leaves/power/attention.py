"""What the regressors of power of memory-efficient and plain attention see: how hard each part of the chip works.

Watts follow the work that is really done: products padded to the block of queries (one query walks over the keys as
dearly as a block of them), exponentials, bytes, and how many multiprocessors take part. Rates are shares of the peak,
and below a tenth of it they fade out, as idle power then hides them.
"""

from __future__ import annotations

import numpy as np

from irene.arrays import FloatArray, IntArray
from irene.leaves.leaf_table import LeafTable, matrix_names

# Not cuDNN's and flash attention: with a regressor of their own, sites held out, their power is no better, and that of
# models in 16 bits a little worse.
ATTENTION_REGRESSORS = ("attention-efficient", "attention-math")
_FADED = 0.1  # of the peak
_MOST_BLOCKS = 16.0  # to a multiprocessor: more is no other state
# Memory-efficient attention has a kernel for heads up to 64, one up to 128, and one above with half the queries (torch,
# aten/src/ATen/native/transformers/cuda/mem_eff_attention/kernels/cutlassF.h).
_SMALL_HEAD, _LARGE_HEAD = 64, 128
_BLOCK, _LARGE_HEAD_BLOCK = 64, 32  # queries
_HEAD_STEP = 32  # what a head's size is filled up to
_EXPONENTIALS_PER_CLOCK = 16  # of a multiprocessor (CUDA C++ Programming Guide, throughput of arithmetic instructions)
_OWN = (
    "is_half", "is_cold", "is_causal", "has_mask", "any_strided", "log2_q_len", "log2_kv_len", "log2_head_size",
    "log2_group", "log2_traffic_bytes",
)  # fmt: skip


def attention_power_names() -> tuple[str, ...]:
    """Column names of `attention_power_matrix`, in order; the order is part of a saved bundle."""
    shares = ("log2_padded_products_share", "log2_products_share", "log2_bytes_share", "log2_exponentials_share")
    places = ("log2_busy_share", "log2_blocks_per_sm", "block_wave_efficiency")
    return (*shares, *places, "log2_burst_us", "log2_over_base", "has_small_head", "has_large_head", *_OWN)


def attention_power_matrix(regressor: str, table: LeafTable, members: IntArray, burst_s: FloatArray) -> FloatArray:
    """Columns as named by `attention_power_names`, shape (members, columns), for calls of `burst_s` (members,)."""
    static = dict(zip(matrix_names(regressor), table.matrix(regressor, members).T, strict=True))
    spec, half = table.spec, static["is_half"] > 0
    q_len, head_size, flop = (2.0 ** static[f"log2_{name}"] for name in ("q_len", "head_size", "executed_flop"))
    block = np.where(head_size > _LARGE_HEAD, _LARGE_HEAD_BLOCK, _BLOCK)
    q_blocks = np.ceil(q_len / block)
    blocks = 2.0 ** (static["log2_batch"] + static["log2_heads"]) * q_blocks / spec.sm_count
    # TF32 changes the products of plain attention alone: memory-efficient attention has one kernel for both modes, of
    # three TF32 products each (gemm_kernel_utils.h there), which gets no further than the vector units would.
    as_tf32 = (static["is_tf32"] > 0) & (regressor == "attention-math")
    single = np.where(as_tf32, spec.peak("tf32"), spec.vector_flop_per_s)
    products = flop / burst_s / np.where(half, spec.peak("bfloat16"), single)
    padding = q_blocks * block / q_len * np.ceil(head_size / _HEAD_STEP) * _HEAD_STEP / head_size
    exponentials_per_s = flop / (2 * (head_size + 2.0 ** static["log2_value_size"])) / burst_s
    columns = [
        _share(products * padding),
        _share(products),
        _share(table.traffic_bytes[members] / burst_s / spec.hbm_bytes_per_s),
        _share(exponentials_per_s / (_EXPONENTIALS_PER_CLOCK * spec.sm_count * spec.max_sm_clock_hz)),
        np.log2(np.minimum(blocks, 1.0)),
        np.log2(np.minimum(blocks, _MOST_BLOCKS)),
        blocks / np.ceil(blocks),
        np.log2(burst_s * 1e6),
        np.log2(burst_s / table.base_s[members]),
        (head_size <= _SMALL_HEAD).astype(np.float64),
        (head_size > _LARGE_HEAD).astype(np.float64),
    ]
    return np.column_stack([*columns, *(static[name] for name in _OWN)])


def _share(of_peak: FloatArray) -> FloatArray:
    shares: FloatArray = np.log2(of_peak + _FADED)
    return shares
