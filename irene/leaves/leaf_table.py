"""Distinct calls as a table of numbers: what the leaf regressors see, and what identifies a call."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from functools import cache, lru_cache, partial
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irene.arrays import BoolArray, FloatArray, IntArray
from irene.hardware.spec import DeviceSpec
from irene.leaves.columns.of_regressors import columns_beside
from irene.leaves.ideal_time import base_duration_s
from irene.leaves.kernel_sets import HALF_DTYPES, family_of, known_by, regressor_of
from irene.leaves.least_time import least_duration_s
from irene.primitives.call import Call
from irene.primitives.features import feature_family, feature_matrix, feature_names
from irene.primitives.kinds import KINDS, Kind, kind_of
from irene.primitives.shapes import compute_dtype
from irene.primitives.stacks import CallStack, numbers_of, pick, rows_by_word, words_of
from irene.primitives.work import count_work

_FAMILY_KIND: dict[str, Kind] = {
    "gemm": "gemm", "attention": "attention", "vector": "elementwise", "collective": "collective"
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class LeafTable:
    """One row a (call, dtype, weights): arrays of length `len(calls)`; features are ragged, see `matrix`.

    `base_s` is what an ideal kernel would take, `least_s` what none can go below. `families` are feature families
    ('gemm', 'attention', 'vector'), `regressors` the names in REGRESSORS.
    """

    calls: Sequence[Call]
    dtypes: tuple[str, ...]
    cold: BoolArray
    kinds: tuple[Kind, ...]
    families: tuple[str, ...]
    regressors: tuple[str, ...]
    base_s: FloatArray
    least_s: FloatArray
    matmul_flop: FloatArray
    flop: FloatArray
    traffic_bytes: FloatArray
    launches: BoolArray
    spec: DeviceSpec
    _matrices: dict[str, tuple[IntArray, FloatArray]] = field(init=False, repr=False, default_factory=dict)
    _words: dict[str, NDArray[np.str_]] = field(init=False, repr=False, default_factory=dict)

    def take(self, keep: BoolArray | IntArray) -> LeafTable:
        """The rows where `keep` is true, in their order; or the rows of these numbers, in theirs."""
        at: IntArray = np.flatnonzero(keep) if keep.dtype == np.bool_ else np.asarray(keep, dtype=np.int64)
        columns: dict[str, Any] = {name: getattr(self, name) for name in _COLUMNS}
        spec, calls = columns.pop("spec"), pick(columns.pop("calls"), at)
        kept: dict[str, Any] = {
            n: tuple([c[i] for i in at.tolist()]) if isinstance(c, tuple) else c[at] for n, c in columns.items()
        }
        return LeafTable(calls=calls, **kept, spec=spec)

    def words(self, column: str) -> NDArray[np.str_]:
        """A column of names (`kinds`, `families`, `regressors`, `dtypes`) as an array, made once; shape (rows,)."""
        if column not in self._words:
            self._words[column] = np.array(getattr(self, column), dtype=np.str_)
        return self._words[column]

    @property
    def known_by(self) -> NDArray[np.str_]:
        """The names under which a predictor keeps what it knows of each row, shape (rows,)."""
        if "known_by" not in self._words:
            pairs = list(zip(self.kinds, self.regressors, strict=True))
            names = {pair: known_by(*pair) for pair in set(pairs)}
            self._words["known_by"] = np.array([names[pair] for pair in pairs], dtype=np.str_)
        return self._words["known_by"]

    @property
    def is_collective(self) -> BoolArray:
        """Which rows are exchanges between ranks."""
        is_collective: BoolArray = self.words("kinds") == "collective"
        return is_collective

    def members_of(self, regressor: str) -> IntArray:
        """The rows of a regressor of time that launch a kernel."""
        return np.flatnonzero((self.words("regressors") == regressor) & self.launches)

    def matrix(self, regressor: str, members: IntArray) -> FloatArray:
        """Features for one regressor of time, shape (members, features); `members` are rows of that regressor.

        Rows are remembered: every fold of a cross-validation asks for nearly the same ones. Of a stack it is the
        matrix: a sweep asks for one for time, power and the board's cap.
        """
        if isinstance(self.calls, CallStack):
            known_members, matrix = self._matrices.get(regressor, (None, _NO_MATRIX))
            if known_members is None or not np.array_equal(known_members, members):
                matrix = self.compute_matrix(regressor, members)
                self._matrices[regressor] = members, matrix
            return matrix
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

    def names_of(self, regressor: str) -> tuple[str, ...]:
        """Names of the columns of `matrix`."""
        return matrix_names(regressor)

    def compute_matrix(self, regressor: str, members: IntArray) -> FloatArray:
        """As `matrix`, but nothing is remembered."""
        calls, dtypes = pick(self.calls, members), [self.dtypes[i] for i in members.tolist()]
        kinds, base_s = np.array([self.kinds[i] for i in members.tolist()]), self.base_s[members]
        own = [
            np.log2(base_s), self.cold[members], *(kinds == kind for kind in KINDS),
            np.isin(dtypes, HALF_DTYPES), np.array(dtypes) == "tf32", np.array(dtypes) == "float16",
        ]  # fmt: skip
        operators = numbers_of(lambda call: _operator_features(call.name), calls, len(_OPERATORS)).T
        more = [columns(calls, dtypes, base_s, self.spec) for _, columns in columns_beside(regressor)]
        features = feature_matrix(calls, _FAMILY_KIND[family_of(regressor)], self.spec.chip)
        return np.hstack([features, np.column_stack(own).astype(np.float64), operators, *more])


_COLUMNS = tuple([column.name for column in fields(LeafTable) if column.init])
_NO_MATRIX = np.empty((0, 0))


@cache
def matrix_names(regressor: str) -> tuple[str, ...]:
    """Column names of `LeafTable.matrix`. A saved regressor names those that it sees: more may be added anywhere."""
    own = ("log2_base_s", "is_cold", *(f"kind_{kind}" for kind in KINDS), "is_half", "is_tf32", "is_float16")
    names = (*feature_names(_FAMILY_KIND[family_of(regressor)]), *own, *(f"operator_{name}" for name in _OPERATORS))
    return (*names, *(name for added, _ in columns_beside(regressor) for name in added))


def make_table(calls: Sequence[Call], dtypes: Sequence[str], cold: Sequence[bool], spec: DeviceSpec) -> LeafTable:
    """The table of calls; all sequences have one length. Pure shape arithmetic, no torch."""
    kinds = words_of(kind_of, calls)
    matmul_flop, flop, traffic_bytes = numbers_of(_count_sizes, calls, 3)
    base_s, least_s = _seconds(calls, dtypes, spec)
    return LeafTable(
        calls=calls if isinstance(calls, CallStack) else tuple(calls),
        dtypes=tuple(dtypes),
        cold=np.array(cold, dtype=np.bool_),
        kinds=kinds,
        families=tuple([feature_family(kind) for kind in kinds]),
        regressors=_name_regressors(calls, dtypes, spec),
        spec=spec,
        base_s=base_s,
        least_s=least_s,
        matmul_flop=matmul_flop,
        flop=flop,
        traffic_bytes=traffic_bytes,
        launches=np.array([kind != "view" for kind in kinds], dtype=np.bool_),
    )


def _count_sizes(call: Call) -> tuple[int, int, int]:
    work = count_work(call)
    return work.matmul_flop, work.flop, work.traffic_bytes


def _seconds(calls: Sequence[Call], dtypes: Sequence[str], spec: DeviceSpec) -> FloatArray:
    """Seconds of an ideal kernel and the least ones, shape (2, calls)."""
    if not isinstance(calls, CallStack):
        pairs = [_seconds_once(call, dtype, spec) for call, dtype in zip(calls, dtypes, strict=True)]
        return np.array(pairs, dtype=np.float64).reshape(len(calls), 2).T
    found = np.empty((2, len(calls)))
    for dtype, rows in rows_by_word(dtypes).items():
        found[:, rows] = numbers_of(partial(_seconds_of, dtype=dtype, spec=spec), calls.take(rows), 2)
    return found


def _seconds_of(call: Call, dtype: str, spec: DeviceSpec) -> tuple[float, float]:
    return base_duration_s(call, dtype, spec), least_duration_s(call, dtype, spec)


_seconds_once = lru_cache(maxsize=131_072)(_seconds_of)


def _name_regressors(calls: Sequence[Call], dtypes: Sequence[str], spec: DeviceSpec) -> tuple[str, ...]:
    if not isinstance(calls, CallStack):
        return tuple([_name_regressor(call, dtype, spec) for call, dtype in zip(calls, dtypes, strict=True)])
    names = np.empty(len(calls), dtype=object)
    for dtype, rows in rows_by_word(dtypes).items():
        names[rows] = words_of(partial(_name_regressor, dtype=dtype, spec=spec), calls.take(rows))
    return tuple(names)


def _name_regressor(call: Call, dtype: str, spec: DeviceSpec) -> str:
    return regressor_of(call, kind_of(call), dtype, spec)


def effective_dtype(call: Call, workload_dtype: str) -> str:
    """The dtype that a call's products run in: its own, or TF32 for float32 products of a tf32 workload."""
    own = compute_dtype(call) if call.tensors or call.outputs else workload_dtype
    if own == "float32" and workload_dtype == "tf32":
        return "tf32"
    return own


@lru_cache(maxsize=131_072)
def fingerprint(call: Call, dtype: str, cold: bool) -> str:
    """Short stable identity of a measured case: same call, dtype mode and weights."""
    text = f"{dtype}|{'cold' if cold else 'hot'}|{call.signature}"
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def join_tables(tables: Sequence[LeafTable]) -> LeafTable:
    """The rows of tables of one device, one table after the other; there must be one at least."""
    columns: dict[str, Any] = {"spec": tables[0].spec}
    for name in _COLUMNS:
        if name == "spec":
            continue
        parts = [getattr(table, name) for table in tables]
        columns[name] = tuple(chain.from_iterable(parts)) if isinstance(parts[0], tuple) else np.concatenate(parts)
    return LeafTable(**columns)


@cache
def _known_rows(regressor: str, spec: DeviceSpec) -> dict[tuple[Call, str, bool], FloatArray]:
    return {}


_MOST_KNOWN_ROWS = 50_000  # of some hundred numbers each

# Operators common enough, and different enough within their kind, to be told apart.
_OPERATORS = (
    "linear", "addmm", "matmul", "bmm", "baddbmm", "layer_norm", "rms_norm", "gelu", "silu", "relu", "tanh", "pow",
    "mean", "embedding", "index", "cat", "to", "contiguous", "reshape", "topk", "sort", "gather", "cumsum", "where",
    "masked_fill", "_weight_norm", "roll", "pad",
)  # fmt: skip


@cache
def _operator_features(name: str) -> tuple[float, ...]:
    return tuple(float(name.rstrip("_") == operator) for operator in _OPERATORS)
