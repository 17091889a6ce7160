"""Distinct calls as a table of numbers: what the leaf regressors see, and what identifies a call."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from irene.hardware.spec import DeviceSpec
from irene.leaves.attention_waves import attention_wave_names, attention_wave_ratios
from irene.leaves.grouped_convolution import GROUPED_CONVOLUTION, grouped_convolution
from irene.leaves.layout_features import (
    ATTENTION_LAYOUT,
    PRODUCT_LAYOUT,
    attention_layout,
    product_layout,
)
from irene.leaves.leaf_base import base_duration_s
from irene.leaves.library_tiles import LIBRARY_TILES, library_tiles
from irene.leaves.pass_layout import PASS_LAYOUT, pass_layout
from irene.leaves.tile_times import tile_time_names, tile_time_ratios
from irene.primitives.attention import attention_backend
from irene.primitives.call import Call
from irene.primitives.features import feature_family, feature_matrix, feature_names
from irene.primitives.kinds import KINDS, Kind, kind_of, launches_kernel
from irene.primitives.shapes import compute_dtype, gemm_shape, is_transposed
from irene.primitives.work import count_work

FloatArray = NDArray[np.float64]
HALF_DTYPES = ("bfloat16", "float16")
# One regressor of time each, the feature family first in its name: kernels that share no more than that. Products in
# 16 bits, as TF32 and on vector units come from three sets of kernels; so do the backends of fused attention.
REGRESSORS = (
    "gemm-half", "gemm-tf32", "gemm-single", "gemm-convolution", "gemm-convolution-in-groups", "gemm-grouped",
    "attention-fused", "attention-efficient", "attention-math", "vector-pointwise", "vector-rowwise",
)  # fmt: skip
_BACKEND_REGRESSOR = {
    "cudnn": "attention-fused", "flash": "attention-fused", "efficient": "attention-efficient", "math": "attention-math"
}  # fmt: skip
_FAMILY_KIND: dict[str, Kind] = {"gemm": "gemm", "attention": "attention", "vector": "elementwise"}
_POINTWISE_KINDS = ("activation", "elementwise", "copy", "fill", "random")


@dataclass(frozen=True, slots=True, eq=False)
class LeafTable:
    """One row a (call, dtype, weights): arrays of length `len(calls)`; features are ragged, see `matrix`.

    `families` are feature families ('gemm', 'attention', 'vector'), `regressors` the names in REGRESSORS.
    """

    calls: tuple[Call, ...]
    dtypes: tuple[str, ...]
    cold: NDArray[np.bool_]
    kinds: tuple[Kind, ...]
    families: tuple[str, ...]
    regressors: tuple[str, ...]
    base_s: FloatArray
    matmul_flop: FloatArray
    flop: FloatArray
    traffic_bytes: FloatArray
    launches: NDArray[np.bool_]
    spec: DeviceSpec

    def take(self, keep: NDArray[np.bool_]) -> LeafTable:
        """The rows where `keep` is true, in their order."""
        at = np.flatnonzero(keep)
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        spec = columns.pop("spec")
        kept: dict[str, Any] = {
            n: tuple(c[i] for i in at) if isinstance(c, tuple) else c[at] for n, c in columns.items()
        }
        return LeafTable(**kept, spec=spec)

    def members_of(self, regressor: str) -> NDArray[np.int64]:
        """The rows of a regressor of time that launch a kernel."""
        return np.flatnonzero((np.array(self.regressors, dtype=np.str_) == regressor) & self.launches)

    def matrix(self, regressor: str, members: NDArray[np.int64]) -> FloatArray:
        """Features for one regressor of time, shape (members, features); `members` are rows of that regressor.

        Rows are remembered: every fold of a cross-validation asks for nearly the same ones.
        """
        known = _known_rows(regressor, self.spec)
        keys = [(self.calls[i], self.dtypes[i], bool(self.cold[i])) for i in members]
        rows = [known.get(key) for key in keys]
        new = [place for place, row in enumerate(rows) if row is None]
        if len(known) + len(new) > _MOST_KNOWN_ROWS:
            known.clear()
        if new:
            for place, row in zip(new, self.compute_matrix(regressor, members[new]), strict=True):
                rows[place] = known[keys[place]] = row
        return np.array(rows, dtype=np.float64).reshape(len(keys), len(matrix_names(regressor)))

    def compute_matrix(self, regressor: str, members: NDArray[np.int64]) -> FloatArray:
        """As `matrix`, but nothing is remembered."""
        calls, dtypes = [self.calls[i] for i in members], [self.dtypes[i] for i in members]
        kinds, base_s = np.array([self.kinds[i] for i in members]), self.base_s[members]
        own = [
            np.log2(base_s), self.cold[members], *(kinds == kind for kind in KINDS),
            np.isin(dtypes, HALF_DTYPES), np.array(dtypes) == "tf32", np.array(dtypes) == "float16",
        ]  # fmt: skip
        operators = np.array([_operator_features(call.name) for call in calls], dtype=np.float64)
        more = [columns(calls, dtypes, base_s, self.spec) for _, columns in _more(regressor)]
        features = feature_matrix(calls, _FAMILY_KIND[_family_of(regressor)])
        return np.hstack([features, np.column_stack(own).astype(np.float64), operators, *more])


def matrix_names(regressor: str) -> tuple[str, ...]:
    """Column names of `LeafTable.matrix`; their order is part of a saved bundle."""
    own = ("log2_base_s", "is_cold", *(f"kind_{kind}" for kind in KINDS), "is_half", "is_tf32", "is_float16")
    names = (*feature_names(_FAMILY_KIND[_family_of(regressor)]), *own, *(f"operator_{name}" for name in _OPERATORS))
    return (*names, *(name for added, _ in _more(regressor) for name in added))


def make_table(calls: Sequence[Call], dtypes: Sequence[str], cold: Sequence[bool], spec: DeviceSpec) -> LeafTable:
    """The table of calls; all sequences have one length. Pure shape arithmetic, no torch."""
    works = [count_work(call) for call in calls]
    kinds = tuple(kind_of(call) for call in calls)
    return LeafTable(
        calls=tuple(calls),
        dtypes=tuple(dtypes),
        cold=np.array(cold, dtype=np.bool_),
        kinds=kinds,
        families=tuple(feature_family(kind) for kind in kinds),
        regressors=tuple(_regressor_of(*case) for case in zip(calls, kinds, dtypes, strict=True)),
        spec=spec,
        base_s=np.array([_base_s(c, dtype, spec) for c, dtype in zip(calls, dtypes, strict=True)], dtype=np.float64),
        matmul_flop=np.array([work.matmul_flop for work in works], dtype=np.float64),
        flop=np.array([work.flop for work in works], dtype=np.float64),
        traffic_bytes=np.array([work.traffic_bytes for work in works], dtype=np.float64),
        launches=np.array([launches_kernel(call) for call in calls], dtype=np.bool_),
    )


def effective_dtype(call: Call, workload_dtype: str) -> str:
    """The dtype that a call's products run in: its own, or TF32 for float32 products of a tf32 workload."""
    own = compute_dtype(call) if call.tensors or call.outputs else workload_dtype
    if own == "float32" and workload_dtype == "tf32":
        return "tf32"
    return own


@lru_cache(maxsize=50_000)
def fingerprint(call: Call, dtype: str, cold: bool) -> str:
    """Short stable identity of a measured case: same call, dtype mode and weights."""
    text = f"{dtype}|{'cold' if cold else 'hot'}|{call.signature}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def join_tables(tables: Sequence[LeafTable]) -> LeafTable:
    """The rows of tables of one device, one table after the other; there must be one at least."""
    columns: dict[str, Any] = {}
    for field in fields(LeafTable):
        parts = [getattr(table, field.name) for table in tables]
        if field.name == "spec":
            columns["spec"] = parts[0]
        else:
            columns[field.name] = (
                tuple(chain.from_iterable(parts)) if isinstance(parts[0], tuple) else np.concatenate(parts)
            )
    return LeafTable(**columns)


@cache
def _known_rows(regressor: str, spec: DeviceSpec) -> dict[tuple[Call, str, bool], FloatArray]:
    return {}


_MOST_KNOWN_ROWS = 50_000  # of some hundred numbers each

_Columns: TypeAlias = Callable[[Sequence[Call], Sequence[str], FloatArray, DeviceSpec], FloatArray]
# Convolutions come from another library, whose tiles are not those of products: regressors err more with them.
_CONVOLUTION = ((tile_time_names(), tile_time_ratios), (PRODUCT_LAYOUT, product_layout))
# What a library's kernel choices would take, and how operands lie in memory, named and computed: see the files.
_MORE: dict[str, tuple[tuple[tuple[str, ...], _Columns], ...]] = {
    "gemm": ((tile_time_names(), tile_time_ratios), (LIBRARY_TILES, library_tiles), (PRODUCT_LAYOUT, product_layout)),
    "attention": ((attention_wave_names(), attention_wave_ratios), (ATTENTION_LAYOUT, attention_layout)),
    "vector": ((PASS_LAYOUT, pass_layout),),
    "gemm-convolution": _CONVOLUTION,
    "gemm-convolution-in-groups": (*_CONVOLUTION, (GROUPED_CONVOLUTION, grouped_convolution)),
}


def _more(regressor: str) -> tuple[tuple[tuple[str, ...], _Columns], ...]:
    """The columns of a regressor, or, where it has none of its own, those of its family."""
    return _MORE.get(regressor) or _MORE[_family_of(regressor)]


def _regressor_of(call: Call, kind: Kind, dtype: str) -> str:
    family = feature_family(kind)
    if family == "attention":
        return _BACKEND_REGRESSOR[attention_backend(call)]
    if family == "vector":
        return "vector-pointwise" if kind in _POINTWISE_KINDS else "vector-rowwise"
    if kind == "convolution":
        return "gemm-convolution-in-groups" if _is_in_groups(call) else "gemm-convolution"
    if kind != "gemm":
        return "gemm-grouped"
    if dtype in HALF_DTYPES:
        return "gemm-half"
    return "gemm-tf32" if dtype == "tf32" else "gemm-single"


def _is_in_groups(call: Call) -> bool:
    """Along one dimension, each group of several channels: the library runs some many times slower than others."""
    shape = gemm_shape(call)
    return len(call.tensors[1].shape) == 3 and shape.batch > 1 and shape.n > 1 and not is_transposed(call)


def _family_of(regressor: str) -> str:
    return regressor.partition("-")[0]


# Operators common enough, and different enough within their kind, to be told apart.
_OPERATORS = (
    "linear", "addmm", "matmul", "bmm", "baddbmm", "layer_norm", "rms_norm", "gelu", "silu", "relu", "tanh", "pow",
    "mean", "embedding", "index", "cat", "to", "contiguous", "reshape", "topk", "sort", "gather", "cumsum", "where",
    "masked_fill", "_weight_norm", "roll", "pad",
)  # fmt: skip


@cache
def _operator_features(name: str) -> tuple[float, ...]:
    return tuple(float(name.rstrip("_") == operator) for operator in _OPERATORS)


@lru_cache(maxsize=50_000)
def _base_s(call: Call, dtype: str, spec: DeviceSpec) -> float:
    return base_duration_s(call, dtype, spec)
