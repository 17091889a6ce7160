"""What regressors see of a call: named numbers from its shapes, layouts and dtypes alone. No device, no run.

Three families of features: matrix products (GEMM, convolution, grouped GEMM), attention, and everything else. Within
a family every call has the same names in the same order, so that rows make a matrix. `FEATURE_DOCS` says what each is.
Sizes are in log2 where costs are proportional. Tiles and waves: Hopper's kernels cut the output into tiles, one SM
takes one tile at a time, and the last wave may leave SMs idle (NVIDIA, "Matrix Multiplication Background User's
Guide", sections on tile and wave quantisation).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from types import MappingProxyType

import numpy as np

from irene.arrays import FloatArray, IntArray
from irene.primitives.attention import attention_backend, attention_shape
from irene.primitives.call import DTYPE_BYTES, Call
from irene.primitives.chip import ATTENTION_BACKENDS, Chip
from irene.primitives.collective_features import COLLECTIVE_DOCS, collective_columns
from irene.primitives.flop import count_executed_flop
from irene.primitives.kinds import Kind, kind_of
from irene.primitives.log_sizes import log2_align, log2_size
from irene.primitives.product_sizes import product_sizes
from irene.primitives.shapes import compute_dtype, gemm_shape
from irene.primitives.stacks import numbers_of
from irene.primitives.vector_features import vector_columns
from irene.primitives.work import count_work

TILES = ((64, 64), (64, 128), (128, 64), (128, 128), (128, 256), (256, 128))  # (rows of M, columns of N)
_K_STEP = 64  # elements of K that a tile's main loop takes at a time
_Q_TILE, _KV_TILE = 128, 128  # FlashAttention 2 and 3 take 64 to 128 rows of queries and keys

_COMMON_DOCS = {
    "log2_flop": "log2 of FLOP",
    "log2_traffic_bytes": "log2 of the bytes that an ideal kernel moves",
    "log2_weight_bytes": "log2 of the bytes of parameters read (0 if none)",
    "log2_flop_per_byte": "log2 of the arithmetic intensity",
    "dtype_bytes": "bytes per element of the dtype that the call computes in",
}
_GEMM_DOCS = {
    "log2_batch": "log2 of the number of independent products (convolution: groups; grouped GEMM: experts hit)",
    "log2_m": "log2 of rows (linear: product of the leading dimensions)",
    "log2_n": "log2 of columns (linear: out features)",
    "log2_k": "log2 of the contracted size (linear: in features)",
    "log2_min_mn": "log2 of the smaller of M and N: thin products use tiles badly",
    "log2_output_numel": "log2 of batch x M x N",
    "a_k_contiguous": "1 if K has stride 1 in the first operand",
    "b_k_contiguous": "1 if K has stride 1 in the second operand (weight of linear: yes, of addmm in GPT-2: no)",
    "has_bias": "1 if a bias or addend is fused",
    "log2_align_m": "log2 of the largest power of two, at most 64, that divides M",
    "log2_align_n": "log2 of the largest power of two, at most 64, that divides N",
    "log2_align_k": "log2 of the largest power of two, at most 64, that divides K",
    "is_aligned": "1 if N and K are multiples of 16 bytes, as tensor cores' bulk loads need",
    "log2_k_steps": "log2 of the main loop's iterations, ceil(K / 64)",
    "best_tile_efficiency": "largest over tile shapes of wave efficiency x useful share of the tile",
    "is_convolution": "1 for a convolution",
    "is_grouped": "1 for a grouped GEMM",
    **{
        f"{name}_{tm}x{tn}": text.format(tm=tm, tn=tn)
        for tm, tn in TILES
        for name, text in (
            ("log2_waves", "log2 of tiles of {tm} x {tn} per SM; below 0: idle SMs"),
            ("wave_efficiency", "tiles of {tm} x {tn} / (full waves x SMs)"),
            ("tile_efficiency", "useful FLOP / FLOP padded to tiles of {tm} x {tn}"),
        )
    },
}
_ATTENTION_DOCS = {
    "log2_executed_flop": "log2 of the FLOP left when masked blocks are skipped",
    "log2_batch": "log2 of sequences",
    "log2_heads": "log2 of query heads",
    "log2_kv_heads": "log2 of key and value heads",
    "log2_group": "log2 of query heads per key head (0: multi-head; more: grouped-query)",
    "log2_q_len": "log2 of query positions",
    "log2_kv_len": "log2 of key positions",
    "log2_head_size": "log2 of the size of a query head",
    "log2_value_size": "log2 of the size of a value head",
    "log2_scores": "log2 of batch x heads x q_len x kv_len: exponentials of the softmax",
    "is_causal": "1 if the kernel is told that attention is causal",
    "has_mask": "1 if a mask tensor is read",
    "is_decode": "1 if there is one query position",
    "is_cudnn": "1 if PyTorch picks cuDNN's fused attention",
    "is_flash": "1 if PyTorch picks flash attention",
    "is_efficient": "1 if PyTorch picks memory-efficient attention",
    "is_math": "1 if PyTorch picks plain products, scores written to memory",
    "any_strided": "1 if query, key or value is not contiguous (heads interleaved)",
    "log2_align_head": "log2 of the largest power of two, at most 64, that divides the head size",
    "log2_waves": "log2 of (batch x heads x query tiles of 128) per SM",
    "wave_efficiency": "those tiles / (full waves x SMs)",
    "tile_efficiency": "useful scores / scores padded to tiles of 128 x 128",
    "log2_kv_steps": "log2 of the main loop's iterations, ceil(kv_len / 128)",
}
_VECTOR_DOCS = {
    "log2_numel_in": "log2 of elements of the largest operand",
    "log2_numel_out": "log2 of elements of all outputs",
    "log2_read_bytes": "log2 of bytes read, weights included",
    "log2_write_bytes": "log2 of bytes written",
    "log2_width": "log2 of the last dimension (norm, softmax, reduction: of what is reduced together)",
    "log2_rows": "log2 of the largest tensor's elements / width",
    "log2_out_width": "log2 of the last dimension of the first output",
    "log2_reduction": "log2 of elements in / elements out",
    "flop_per_element": "FLOP per element of the operator",
    "in_bytes": "bytes per element of the largest operand",
    "out_bytes": "bytes per element of the first output",
    "operands": "number of tensor operands",
    "any_strided": "1 if an operand or output is neither contiguous nor a broadcast",
    "is_broadcast": "1 if operands differ in shape, or one has a stride of 0",
    "is_mixed_dtype": "1 if operands and outputs differ in dtype",
    "is_in_place": "1 if the operator writes its first operand",
    "is_vectorisable": "1 if every tensor is contiguous and its last dimension fills 16-byte accesses",
    "log2_waves": "log2 of output elements per resident thread of the device; below 0: idle threads",
    "log2_align_width": "log2 of the largest power of two, at most 64, that divides the width",
    "transposes": "1 if large tensors run along different dimensions: some are read or written across",
}
FEATURE_DOCS: dict[str, dict[str, str]] = {
    "gemm": {**_COMMON_DOCS, **_GEMM_DOCS},
    "attention": {**_COMMON_DOCS, **_ATTENTION_DOCS},
    "vector": {**_COMMON_DOCS, **_VECTOR_DOCS},
    "collective": {**_COMMON_DOCS, **COLLECTIVE_DOCS},
}


def feature_family(kind: Kind) -> str:
    """'gemm' (also convolution and grouped GEMM), 'attention', 'collective', or 'vector' for every other kind."""
    if kind in ("gemm", "convolution", "grouped_gemm"):
        return "gemm"
    return kind if kind in ("attention", "collective") else "vector"


def feature_names(kind: Kind) -> tuple[str, ...]:
    """Names of `features_of` for a kind, in order.

    >>> feature_names("softmax")[:2]
    ('log2_flop', 'log2_traffic_bytes')
    """
    return tuple(FEATURE_DOCS[feature_family(kind)])


@lru_cache(maxsize=4096)
def features_of(call: Call, chip: Chip) -> Mapping[str, float]:
    """Static features of a call, all finite, in the order of `feature_names`; read-only, as they are remembered.

    `chip` is what its shapes meet, for waves and the choice of attention. The dtype is the call's own: whether a
    float32 product runs as TF32 is not in a call, and is the caller's to add.

    >>> from irene.primitives.call import TensorSpec
    >>> x, w = TensorSpec((8, 128, 768), (98304, 768, 1), "bfloat16"), TensorSpec((3072, 768), (768, 1), "bfloat16")
    >>> y = TensorSpec((8, 128, 3072), (393216, 3072, 1), "bfloat16")
    >>> f = features_of(Call("aten.linear.default", (x, w), (), (y,)), Chip(132, 2048, ("cudnn", "math")))
    >>> f["log2_m"], f["log2_waves_128x128"] > 0, round(f["wave_efficiency_128x128"], 3)
    (10.0, True, 0.727)
    """
    kind = kind_of(call)
    row = feature_matrix([call], kind, chip)[0]
    return MappingProxyType(dict(zip(feature_names(kind), row.tolist(), strict=True)))


def feature_matrix(calls: Sequence[Call], kind: Kind, chip: Chip) -> FloatArray:
    """Features of calls of one family, shape (calls, features), columns as in `feature_names(kind)`."""
    of_family = {"gemm": _gemm_columns, "attention": _attention_columns, "collective": collective_columns}
    own = of_family.get(feature_family(kind), vector_columns)
    if not calls:
        return np.empty((0, len(feature_names(kind))))
    return np.column_stack([*_common_columns(calls), *own(calls, chip)])


def _common_columns(calls: Sequence[Call]) -> list[FloatArray]:
    *counts, itemsize = numbers_of(_common_sizes, calls, 4)
    flop, traffic_bytes, weight_bytes = map(log2_size, counts)
    return [flop, traffic_bytes, weight_bytes, flop - traffic_bytes, itemsize]


def _common_sizes(call: Call) -> tuple[int, ...]:
    work = count_work(call)
    itemsize = DTYPE_BYTES[compute_dtype(call)] if call.tensors or call.outputs else 0
    return work.flop, work.traffic_bytes, work.weight_bytes, itemsize


def _wave_efficiency(tiles: IntArray, sm_count: int) -> FloatArray:
    """Share of SMs at work, averaged over waves: tiles / (ceil(tiles / SMs) x SMs)."""
    shares: FloatArray = tiles / (np.ceil(tiles / sm_count) * sm_count)
    return shares


def _gemm_columns(calls: Sequence[Call], chip: Chip) -> list[FloatArray]:
    sm_count = chip.sm_count
    batch, m, n, k, itemsize, *flags = numbers_of(_gemm_sizes, calls, 10, np.int64)
    vector = np.maximum(16 // np.maximum(itemsize, 1), 1)
    per_tile: list[FloatArray] = []
    best = np.zeros(len(calls))
    for tile_m, tile_n in TILES:
        rows, columns = -(-m // tile_m), -(-n // tile_n)
        tiles = batch * rows * columns
        waves, useful = _wave_efficiency(tiles, sm_count), m * n / (rows * tile_m * columns * tile_n)
        per_tile += [np.log2(tiles / sm_count), waves, useful]
        best = np.maximum(best, waves * useful)
    return [
        *(log2_size(size) for size in (batch, m, n, k, np.minimum(m, n), batch * m * n)),
        *flags[:3],
        *(log2_align(size) for size in (m, n, k)),
        ((n % vector == 0) & (k % vector == 0)).astype(np.float64),
        log2_size(-(-k // _K_STEP)),
        best,
        *flags[3:],
        *per_tile,
    ]


def _gemm_sizes(call: Call) -> tuple[int, ...]:
    """As `product_sizes`; then flags."""
    shape, kind = gemm_shape(call), kind_of(call)
    flags = (shape.a_k_contiguous, shape.b_k_contiguous, shape.has_bias)
    return (*product_sizes(call), *flags, kind == "convolution", kind == "grouped_gemm")


def _attention_columns(calls: Sequence[Call], chip: Chip) -> list[FloatArray]:
    executed_flop, *found = numbers_of(partial(_attention_sizes, chip), calls, 11 + len(ATTENTION_BACKENDS), np.int64)
    sizes, flags = found[:7], found[7:]
    batch, heads, kv_heads, q_len, kv_len, head_size, _ = sizes
    q_tiles, kv_tiles = -(-np.maximum(q_len, 1) // _Q_TILE), -(-np.maximum(kv_len, 1) // _KV_TILE)
    tiles = np.maximum(batch * heads * q_tiles, 1)
    flags.insert(2, q_len == 1)
    return [
        log2_size(executed_flop),
        *(log2_size(size) for size in (batch, heads, kv_heads)),
        np.log2(np.maximum(heads, 1) / np.maximum(kv_heads, 1)),
        *(log2_size(size) for size in sizes[3:]),
        log2_size(batch * heads * q_len * kv_len),
        *(np.array(flag, dtype=np.float64) for flag in flags),
        log2_align(head_size),
        np.log2(tiles / chip.sm_count),
        _wave_efficiency(tiles, chip.sm_count),
        q_len * kv_len / (q_tiles * _Q_TILE * kv_tiles * _KV_TILE),
        log2_size(kv_tiles),
    ]


def _attention_sizes(chip: Chip, call: Call) -> tuple[int, ...]:
    """FLOP that are not skipped, sizes, flags."""
    shape, backend = attention_shape(call), attention_backend(call, chip.attention_backends)
    sizes = (shape.batch, shape.heads, shape.kv_heads, shape.q_len, shape.kv_len, shape.head_size, shape.value_size)
    is_strided = any(not t.is_contiguous for t in call.tensors[:3])
    flags = (shape.is_causal, shape.has_mask, *(backend == own for own in ATTENTION_BACKENDS), is_strided)
    return (count_executed_flop(call), *sizes, *flags)
