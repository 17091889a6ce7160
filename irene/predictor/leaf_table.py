"""Distinct calls as a table of numbers: what the leaf regressors see, and what identifies a call."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irene.hardware.spec import DeviceSpec
from irene.predictor.leaf_base import base_duration_s
from irene.primitives.call import Call
from irene.primitives.features import feature_family, feature_names, features_of
from irene.primitives.kinds import KINDS, Kind, kind_of, launches_kernel
from irene.primitives.shapes import compute_dtype
from irene.primitives.work import count_work

FloatArray = NDArray[np.float64]
FAMILIES = ("gemm", "attention", "vector")
_FAMILY_KIND: dict[str, Kind] = {"gemm": "gemm", "attention": "attention", "vector": "elementwise"}
HALF_DTYPES = ("bfloat16", "float16")


@dataclass(frozen=True, slots=True, eq=False)
class LeafTable:
    """One row a (call, dtype, weights): arrays of length `len(calls)`; features are ragged, see `matrix`."""

    calls: tuple[Call, ...]
    dtypes: tuple[str, ...]
    cold: NDArray[np.bool_]
    kinds: tuple[Kind, ...]
    families: tuple[str, ...]
    base_s: FloatArray
    matmul_flop: FloatArray
    flop: FloatArray
    traffic_bytes: FloatArray
    launches: NDArray[np.bool_]

    def take(self, keep: NDArray[np.bool_]) -> LeafTable:
        """The rows where `keep` is true, in their order."""
        at = np.flatnonzero(keep)
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        kept: dict[str, Any] = {
            n: tuple(c[i] for i in at) if isinstance(c, tuple) else c[at] for n, c in columns.items()
        }
        return LeafTable(**kept)

    def matrix(self, family: str, members: NDArray[np.int64]) -> FloatArray:
        """Features for the time regressor of one family, shape (members, features)."""
        rows = [
            [*_static_features(self.calls[i]), np.log2(self.base_s[i]), float(self.cold[i])]
            + [float(self.kinds[i] == kind) for kind in KINDS]
            + [float(self.dtypes[i] in HALF_DTYPES), float(self.dtypes[i] == "tf32")]
            + [*_operator_features(self.calls[i].name)]
            for i in members
        ]
        width = len(matrix_names(family))
        return np.array(rows, dtype=np.float64).reshape(len(members), width)


def matrix_names(family: str) -> tuple[str, ...]:
    """Column names of `LeafTable.matrix`; their order is part of a saved bundle."""
    own = ("log2_base_s", "is_cold", *(f"kind_{kind}" for kind in KINDS), "is_half", "is_tf32")
    return (*feature_names(_FAMILY_KIND[family]), *own, *(f"operator_{name}" for name in _OPERATORS))


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


def fingerprint(call: Call, dtype: str, cold: bool) -> str:
    """Short stable identity of a measured case: same call, dtype mode and weights."""
    text = f"{dtype}|{'cold' if cold else 'hot'}|{call.signature}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


# Operators common enough, and different enough within their kind, to be told apart.
_OPERATORS = (
    "linear", "addmm", "matmul", "bmm", "baddbmm", "layer_norm", "rms_norm", "gelu", "silu", "relu", "tanh", "pow",
    "mean", "embedding", "index", "cat", "to", "contiguous", "reshape", "topk", "sort", "gather", "cumsum", "where",
    "masked_fill",
)  # fmt: skip


@cache
def _operator_features(name: str) -> tuple[float, ...]:
    return tuple(float(name.rstrip("_") == operator) for operator in _OPERATORS)


@lru_cache(maxsize=50_000)
def _static_features(call: Call) -> tuple[float, ...]:
    return tuple(features_of(call).values())


@lru_cache(maxsize=50_000)
def _base_s(call: Call, dtype: str, spec: DeviceSpec) -> float:
    return base_duration_s(call, dtype, spec)
