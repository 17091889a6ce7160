"""What regressors see of a call: named numbers from its shapes, layouts and dtypes alone. No device, no run.

Three families of features: matrix products (GEMM, convolution, grouped GEMM), attention, and everything else. Within
a family every call has the same names in the same order, so that rows make a matrix. `FEATURE_DOCS` says what each is.
Sizes are in log2 where costs are proportional. Tiles and waves: Hopper's kernels cut the output into tiles, one SM
takes one tile at a time, and the last wave may leave SMs idle (NVIDIA, "Matrix Multiplication Background User's
Guide", sections on tile and wave quantisation).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from irene.primitives.attention import attention_backend, attention_shape
from irene.primitives.call import DTYPE_BYTES, Call, TensorSpec
from irene.primitives.flop import count_executed_flop, flop_per_element
from irene.primitives.kinds import Kind, kind_of
from irene.primitives.shapes import compute_dtype, gemm_shape
from irene.primitives.work import count_work

TILES = ((64, 64), (64, 128), (128, 64), (128, 128), (128, 256), (256, 128))  # (rows of M, columns of N)
_K_STEP = 64  # elements of K that a tile's main loop takes at a time
_Q_TILE, _KV_TILE = 128, 128  # FlashAttention 2 and 3 take 64 to 128 rows of queries and keys
_THREADS_PER_SM = 2048

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
}


def feature_family(kind: Kind) -> str:
    """'gemm' (also convolution and grouped GEMM), 'attention', or 'vector' for every other kind."""
    if kind in ("gemm", "convolution", "grouped_gemm"):
        return "gemm"
    return "attention" if kind == "attention" else "vector"


def feature_names(kind: Kind) -> tuple[str, ...]:
    """Names of `features_of` for a kind, in order. The order is part of saved predictors: append, never reorder.

    >>> feature_names("softmax")[:2]
    ('log2_flop', 'log2_traffic_bytes')
    """
    return tuple(FEATURE_DOCS[feature_family(kind)])


@lru_cache(maxsize=65536)  # time, power and layout each ask for a call's; a sweep has tens of thousands of calls
def features_of(call: Call, sm_count: int = 132) -> Mapping[str, float]:
    """Static features of a call, all finite, in the order of `feature_names`; read-only, as they are remembered.

    `sm_count` is the number of streaming multiprocessors of the device (132 on H200), for waves. The dtype is the
    call's own: whether a float32 product runs as TF32 is not in a call, and is the caller's to add.

    >>> x, w = TensorSpec((8, 128, 768), (98304, 768, 1), "bfloat16"), TensorSpec((3072, 768), (768, 1), "bfloat16")
    >>> y = TensorSpec((8, 128, 3072), (393216, 3072, 1), "bfloat16")
    >>> f = features_of(Call("aten.linear.default", (x, w), (), (y,)))
    >>> f["log2_m"], f["log2_waves_128x128"] > 0, round(f["wave_efficiency_128x128"], 3)
    (10.0, True, 0.727)
    """
    family = feature_family(kind_of(call))
    work = count_work(call)
    dtype_bytes = DTYPE_BYTES[compute_dtype(call)] if call.tensors or call.outputs else 0
    features = {
        "log2_flop": _log2(work.flop),
        "log2_traffic_bytes": _log2(work.traffic_bytes),
        "log2_weight_bytes": _log2(work.weight_bytes),
        "log2_flop_per_byte": _log2(work.flop) - _log2(work.traffic_bytes),
        "dtype_bytes": float(dtype_bytes),
    }
    if family == "gemm":
        features.update(_gemm_features(call, sm_count, dtype_bytes))
    elif family == "attention":
        features.update(_attention_features(call, sm_count))
    else:
        features.update(_vector_features(call, sm_count))
    return MappingProxyType(features)


def feature_matrix(calls: Sequence[Call] | Iterable[Call], kind: Kind, sm_count: int = 132) -> npt.NDArray[np.float64]:
    """Features of calls of one family, shape (calls, features), columns as in `feature_names(kind)`."""
    names = feature_names(kind)
    rows = [[features[name] for name in names] for features in (features_of(call, sm_count) for call in calls)]
    return np.array(rows, dtype=np.float64).reshape(len(rows), len(names))


def _log2(value: float) -> float:
    return math.log2(value) if value > 1 else 0.0


def _log2_ratio(numerator: float, denominator: float) -> float:
    """Signed: below 0 where the numerator is smaller."""
    return math.log2(max(numerator, 1) / max(denominator, 1))


def _log2_align(size: int) -> float:
    return _log2(math.gcd(size, 64))


def wave_efficiency(tiles: int, sm_count: int) -> float:
    """Share of SMs at work, averaged over waves: tiles / (ceil(tiles / SMs) x SMs).

    >>> wave_efficiency(132, 132), wave_efficiency(133, 132) < 0.51
    (1.0, True)
    """
    return tiles / (math.ceil(tiles / sm_count) * sm_count) if tiles else 1.0


def _gemm_features(call: Call, sm_count: int, dtype_bytes: int) -> dict[str, float]:
    shape = gemm_shape(call)
    m, n, k = max(shape.m, 1), max(shape.n, 1), max(shape.k, 1)
    batch = max(shape.batch, 1)
    kind = kind_of(call)
    vector = max(16 // max(dtype_bytes, 1), 1)
    per_tile: dict[str, float] = {}
    best = 0.0
    for tile_m, tile_n in TILES:
        rows, columns = -(-m // tile_m), -(-n // tile_n)
        tiles = batch * rows * columns
        waves, useful = wave_efficiency(tiles, sm_count), m * n / (rows * tile_m * columns * tile_n)
        per_tile[f"log2_waves_{tile_m}x{tile_n}"] = math.log2(tiles / sm_count)
        per_tile[f"wave_efficiency_{tile_m}x{tile_n}"] = waves
        per_tile[f"tile_efficiency_{tile_m}x{tile_n}"] = useful
        best = max(best, waves * useful)
    return {
        "log2_batch": _log2(batch),
        "log2_m": _log2(m),
        "log2_n": _log2(n),
        "log2_k": _log2(k),
        "log2_min_mn": _log2(min(m, n)),
        "log2_output_numel": _log2(batch * m * n),
        "a_k_contiguous": float(shape.a_k_contiguous),
        "b_k_contiguous": float(shape.b_k_contiguous),
        "has_bias": float(shape.has_bias),
        "log2_align_m": _log2_align(m),
        "log2_align_n": _log2_align(n),
        "log2_align_k": _log2_align(k),
        "is_aligned": float(n % vector == 0 and k % vector == 0),
        "log2_k_steps": _log2(-(-k // _K_STEP)),
        "best_tile_efficiency": best,
        "is_convolution": float(kind == "convolution"),
        "is_grouped": float(kind == "grouped_gemm"),
        **per_tile,
    }


def _attention_features(call: Call, sm_count: int) -> dict[str, float]:
    shape = attention_shape(call)
    backend = attention_backend(call)
    q_tiles, kv_tiles = -(-max(shape.q_len, 1) // _Q_TILE), -(-max(shape.kv_len, 1) // _KV_TILE)
    tiles = max(shape.batch * shape.heads * q_tiles, 1)
    return {
        "log2_executed_flop": _log2(count_executed_flop(call)),
        "log2_batch": _log2(shape.batch),
        "log2_heads": _log2(shape.heads),
        "log2_kv_heads": _log2(shape.kv_heads),
        "log2_group": _log2_ratio(shape.heads, shape.kv_heads),
        "log2_q_len": _log2(shape.q_len),
        "log2_kv_len": _log2(shape.kv_len),
        "log2_head_size": _log2(shape.head_size),
        "log2_value_size": _log2(shape.value_size),
        "log2_scores": _log2(shape.batch * shape.heads * shape.q_len * shape.kv_len),
        "is_causal": float(shape.is_causal),
        "has_mask": float(shape.has_mask),
        "is_decode": float(shape.q_len == 1),
        "is_cudnn": float(backend == "cudnn"),
        "is_flash": float(backend == "flash"),
        "is_efficient": float(backend == "efficient"),
        "is_math": float(backend == "math"),
        "any_strided": float(any(not t.is_contiguous for t in call.tensors[:3])),
        "log2_align_head": _log2_align(shape.head_size),
        "log2_waves": math.log2(tiles / sm_count),
        "wave_efficiency": wave_efficiency(tiles, sm_count),
        "tile_efficiency": shape.q_len * shape.kv_len / (q_tiles * _Q_TILE * kv_tiles * _KV_TILE),
        "log2_kv_steps": _log2(kv_tiles),
    }


def _vector_features(call: Call, sm_count: int) -> dict[str, float]:
    operands, outputs = call.tensors, call.outputs
    tensors = operands + outputs
    work = count_work(call)
    numels = [t.numel for t in tensors]  # each property once: this is asked for every call of every model
    count_in = numels[: len(operands)]
    numel_largest = max(count_in or numels, default=1)
    largest = tensors[numels.index(numel_largest)] if tensors else TensorSpec((), (), "float32")
    first_out = outputs[0] if outputs else largest
    width = _reduced_width(call, largest)
    numel_out = sum(numels[len(operands) :])
    strided = [t for t in tensors if not t.is_contiguous]
    most = max(numels, default=0)
    directions = {_running_dim(t) for t, n in zip(tensors, numels, strict=True) if 2 * n >= most and n > 1}
    filled = not strided and all((t.shape[-1] if t.shape else 1) * t.itemsize % 16 == 0 for t in tensors)
    return {
        "log2_numel_in": _log2(max(count_in, default=0)),
        "log2_numel_out": _log2(numel_out),
        "log2_read_bytes": _log2(work.weight_bytes + work.read_bytes),
        "log2_write_bytes": _log2(work.write_bytes),
        "log2_width": _log2(width),
        "log2_rows": _log2(max(numel_largest, numel_out) / max(width, 1)),
        "log2_out_width": _log2(first_out.shape[-1] if first_out.shape else 1),
        "log2_reduction": _log2_ratio(numel_largest, numel_out),
        "flop_per_element": float(flop_per_element(call)),
        "in_bytes": float(largest.itemsize),
        "out_bytes": float(first_out.itemsize),
        "operands": float(len(operands)),
        "any_strided": float(any(0 not in t.stride for t in strided)),
        "is_broadcast": float(len({t.shape for t in operands}) > 1 or any(_is_expanded(t) for t in strided)),
        "is_mixed_dtype": float(len({t.dtype for t in tensors}) > 1),
        "is_in_place": float(call.is_in_place),
        "is_vectorisable": float(filled),
        "log2_waves": math.log2(max(numel_out, 1) / (sm_count * _THREADS_PER_SM)),
        "log2_align_width": _log2_align(width),
        "transposes": float(len(directions) > 1),
    }


def _running_dim(tensor: TensorSpec) -> int:
    """Counted from the last, the dimension along which neighbours in memory lie."""
    best, from_last = 0, 0
    for dim, (size, stride) in enumerate(zip(tensor.shape, tensor.stride, strict=True)):
        if size > 1 and stride > 0 and (best == 0 or stride <= best):  # of equal strides, the last
            best, from_last = stride, len(tensor.shape) - dim
    return from_last


def _is_expanded(tensor: TensorSpec) -> bool:
    return any(stride == 0 and size > 1 for size, stride in zip(tensor.shape, tensor.stride, strict=True))


def _reduced_width(call: Call, largest: TensorSpec) -> int:
    """Elements that are reduced together where the call reduces, else the last dimension."""
    kind = kind_of(call)
    shape = largest.shape
    last = shape[-1] if shape else 1
    if kind == "norm" and len(call.args) > 1 and isinstance(call.args[1], tuple):  # layer_norm(x, normalized_shape)
        return math.prod(size for size in call.args[1] if isinstance(size, int))
    if kind == "softmax" and shape and len(call.args) > 1 and isinstance(call.args[1], int):
        return shape[call.args[1]]
    if kind == "reduction" and call.outputs:
        ratio = largest.numel // max(call.outputs[0].numel, 1)
        return ratio if ratio > 1 else last  # a scan has as many outputs as inputs
    return last
