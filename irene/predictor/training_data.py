"""Measured rows as training reads them: tables of primitives, and modules and models with their leaves tabulated.

Cases are sorted and repeats are reduced to medians, so that the order of the rows changes nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np

from irene.arrays import BoolArray, FloatArray, IntArray
from irene.dataset.families import RANDOM_SHAPES
from irene.dataset.store import has_drawn_loads, of_several_gpus
from irene.errors import BadDataset
from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_table import LeafTable, effective_dtype, fingerprint, join_tables, make_table
from irene.leaves.survey_prior import Survey, site_key
from irene.model_tree.serialization import decompress_tree
from irene.model_tree.tree import ModelTree
from irene.predictor.load_imbalance import TYPICAL_LOADS, RouterLoads
from irene.predictor.runtime import RuntimeFeatures
from irene.predictor.tree_leaves import TreeLeaves, tabulate_leaves
from irene.primitives.call import Call, read_signature
from irene.primitives.kinds import launches_kernel
from irene.primitives.sites import site_of_call

if TYPE_CHECKING:
    import pandas as pd

SITE_FOLDS = 2
FAMILY_FOLDS = 3
_FEWEST_TIMED, _FEWEST_METERED = 50, 20
_MEASURED = ("energy_j", "duration_s", "gpu_utilization_pct")
_LOADS = ("busy_experts_pct", "expert_load_deviation")


@dataclass(frozen=True, slots=True, eq=False)
class PrimitiveData:
    """Measured primitives: all that were timed, and those that were metered too, with the burst time of each.

    `timed_folds` and `metered_folds` say for each row in which folds of families its signature occurs.
    """

    timed: LeafTable
    timed_s: FloatArray
    metered: LeafTable
    metered_s: FloatArray
    metered_w: FloatArray
    burst_s: FloatArray

    timed_folds: tuple[frozenset[int], ...]
    metered_folds: tuple[frozenset[int], ...]
    survey: Survey | None = None

    def without_site_fold(self, fold: int) -> PrimitiveData:
        """All but one fold of sites, surveyed ones too."""
        kept = self._keep(site_folds(self.timed.calls) != fold, site_folds(self.metered.calls) != fold)
        return replace(kept, survey=self.survey and self.survey.without_site_fold(fold, SITE_FOLDS))

    def without_family_fold(self, fold: int) -> PrimitiveData:
        """All but the rows whose signature occurs in one fold of families only; all, if too few would be left."""
        keep, keep_metered = (
            np.array([bool(folds - {fold}) for folds in rows], dtype=np.bool_)
            for rows in (self.timed_folds, self.metered_folds)
        )
        if keep.sum() < _FEWEST_TIMED or keep_metered.sum() < _FEWEST_METERED:
            return self
        return self._keep(keep, keep_metered)

    def _keep(self, timed: BoolArray, metered: BoolArray) -> PrimitiveData:
        return PrimitiveData(
            self.timed.take(timed), self.timed_s[timed], self.metered.take(metered), self.metered_s[metered],
            self.metered_w[metered], self.burst_s[metered], tuple(compress(self.timed_folds, timed)),
            tuple(compress(self.metered_folds, metered)), self.survey,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredTree:
    """A measured module or model with its leaves tabulated; medians over its repeats."""

    leaves: TreeLeaves
    execution: str
    family: str
    level: str
    energy_j: float
    duration_s: float
    gpu_utilization_pct: float
    run: RuntimeFeatures | None

    @property
    def loads(self) -> RouterLoads:
        """How its routers loaded experts, as far as that is known."""
        return TYPICAL_LOADS if self.run is None else self.run.loads


def gather_primitives(rows: pd.DataFrame, spec: DeviceSpec) -> PrimitiveData:
    """Distinct primitives of a frame in the columns of `Row`. Raises BadDataset if too few.

    Reference calls are left out, and replays with drawn loads: calls are predicted with equal ones. Of several GPUs the
    captured exchanges are taken, each with one board's share of the power; they have a window and no burst.
    """
    own = rows[(rows["level"] == "primitive") & ~rows["reference"].astype(bool) & ~has_drawn_loads(rows)]
    several = of_several_gpus(own)
    own = own.assign(ranks=own.get("ranks", 1))[~several | (own["execution"] == "cuda_graph")]
    burst_s: dict[str, list[float]] = {}
    window: dict[str, list[tuple[float, float]]] = {}
    folds: dict[str, set[int]] = {}
    columns = ["signature", "dtype", "weights", "method", "duration_s", "power_w", "families", "ranks"]
    for signature, workload_dtype, weights, method, duration_s, power_w, families, ranks in own[columns].to_numpy(
        dtype=object
    ):
        key = _identify(signature, workload_dtype, weights)
        if key is None:  # replayed all the same, but its time is no time
            continue
        folds.setdefault(key, set()).update(_family_folds(families))
        if method == "events":
            burst_s.setdefault(key, []).append(float(duration_s))
        else:
            window.setdefault(key, []).append((float(duration_s), float(power_w) / ranks))
            if ranks > 1:
                burst_s.setdefault(key, []).append(float(duration_s))
    timed, metered = sorted(burst_s), [key for key in sorted(window) if key in burst_s]
    if len(timed) < _FEWEST_TIMED or len(metered) < _FEWEST_METERED:
        raise BadDataset(
            f"{len(timed)} timed and {len(metered)} metered primitives are too few to fit a predictor; expected at "
            f"least {_FEWEST_TIMED} and {_FEWEST_METERED}. Collect more with 'irene collect'."
        )
    medians = np.array([np.median(window[key], axis=0) for key in metered])
    burst_of = {key: values[0] if len(values) == 1 else float(np.median(values)) for key, values in burst_s.items()}
    data = PrimitiveData(
        _tabulated(spec).take(timed),
        np.array([burst_of[key] for key in timed]),
        _tabulated(spec).take(metered),
        medians[:, 0],
        medians[:, 1],
        np.array([burst_of[key] for key in metered]),
        tuple(frozenset(folds[key]) for key in timed),
        tuple(frozenset(folds[key]) for key in metered),
    )
    if len(np.unique(site_folds(data.metered.calls))) < 2:
        raise BadDataset("All metered primitives come from one site; nothing is left to judge by. Collect more.")
    return data


def gather_trees(rows: pd.DataFrame, spec: DeviceSpec) -> list[MeasuredTree]:
    """Every case of a module or model on one GPU in each collection, sorted; reference calls left out."""
    own = rows[rows["level"].isin(["module", "model"]) & ~rows["reference"].astype(bool) & ~of_several_gpus(rows)]
    own.attrs = {}  # pandas copies them deeply at every step
    # A case has one imbalance, the median of those that were noted: other seeds route nearly alike, and some
    # collections noted none.
    own = own.assign(**{name: own.groupby("case")[name].transform("median") for name in _LOADS})
    trees = []
    for _, runs in own.groupby(["collection", "case"], sort=True):
        # All repeats of a case were traced alike; the smallest text makes the choice one of the rows, not their order.
        leaves = _tabulate_tree(min(runs["tree"]), spec)
        execution, family, level = (str(runs[name].iloc[0]) for name in ("execution", "families", "level"))
        energy_j, duration_s, busy_pct = (float(runs[n].median()) for n in _MEASURED)
        trees.append(MeasuredTree(leaves, execution, family, level, energy_j, duration_s, busy_pct, median_run(runs)))
    return trees


def median_run(runs: pd.DataFrame) -> RuntimeFeatures | None:
    """The runtime features of a case's repeats, their medians; None where they were not read."""
    medians = {field.name: float(runs[field.name].median()) for field in fields(RuntimeFeatures)}
    unknown = {name for name, value in medians.items() if np.isnan(value)}
    if unknown & set(_LOADS):
        unknown |= set(_LOADS)  # both, or neither
    if unknown - set(_LOADS):
        return None
    return RuntimeFeatures(**{name: value for name, value in medians.items() if name not in unknown})


@lru_cache(maxsize=1024)  # every fold of a cross-validation reads nearly the same trees
def read_tree(text: str) -> ModelTree:
    """The tree of a measured row, unpacked once."""
    return decompress_tree(text)


def site_folds(calls: Sequence[Call]) -> IntArray:
    """The fold of each call's site: a hash that no run changes."""
    return np.array([site_key(site_of_call(call)) % SITE_FOLDS for call in calls], dtype=np.int64)


def family_fold(family: str) -> int:
    """The fold of a family; random shapes belong to none, so that their rows always stay."""
    return -1 if family == RANDOM_SHAPES else zlib.crc32(family.encode()) % FAMILY_FOLDS


@lru_cache(maxsize=4096)
def _family_folds(families: str) -> frozenset[int]:
    return frozenset(map(family_fold, families.split(",")))


@lru_cache(maxsize=1024)
def _tabulate_tree(text: str, spec: DeviceSpec) -> TreeLeaves:
    return tabulate_leaves(read_tree(text), spec)


# Every fold of a cross-validation asks for nearly the same primitives: each is read and tabulated once in a process.
_CASES: dict[str, tuple[Call, str, bool]] = {}  # by fingerprint


@lru_cache(maxsize=262_144)
def _identify(signature: str, workload_dtype: str, weights: str) -> str | None:
    """The fingerprint of a measured primitive; None for a call that launches nothing."""
    call = read_signature(signature)
    if not launches_kernel(call):
        return None
    case = (call, effective_dtype(call, workload_dtype), weights == "cold")
    key = fingerprint(*case)
    _CASES.setdefault(key, case)
    return key


class _Tabulated:
    """The table of all primitives that were asked for so far."""

    def __init__(self, spec: DeviceSpec) -> None:
        self._spec, self._tables = spec, list[LeafTable]()
        self._row_of: dict[str, int] = {}

    def take(self, keys: Sequence[str]) -> LeafTable:
        """The rows of primitives by their fingerprints, in this order."""
        new = [key for key in keys if key not in self._row_of]
        if new:
            calls, dtypes, cold = zip(*(_CASES[key] for key in new), strict=True)
            self._tables = [join_tables([*self._tables, make_table(calls, dtypes, cold, self._spec)])]
            self._row_of |= {key: row for row, key in enumerate(new, start=len(self._row_of))}
        return self._tables[0].take(np.array([self._row_of[key] for key in keys], dtype=np.int64))


@cache
def _tabulated(spec: DeviceSpec) -> _Tabulated:
    return _Tabulated(spec)
