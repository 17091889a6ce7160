"""Measured rows as training reads them: tables of primitives, and modules and models with their leaves tabulated.

Cases are sorted and repeats are reduced to medians, so that the order of the rows changes nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from itertools import compress
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irene.dataset.families import GRID
from irene.dataset.store import has_drawn_loads
from irene.errors import BadDataset
from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_table import LeafTable, effective_dtype, fingerprint, make_table
from irene.leaves.survey import Survey, site_key
from irene.model_tree.serialization import decompress_tree
from irene.model_tree.tree import ModelTree
from irene.predictor.expert_loads import TYPICAL_LOADS, RouterLoads
from irene.predictor.runtime import RuntimeFeatures
from irene.predictor.tree_leaves import TreeLeaves, tabulate_leaves
from irene.primitives.call import Call, read_signature
from irene.primitives.kinds import launches_kernel
from irene.primitives.sites import site_of_call

if TYPE_CHECKING:
    import pandas as pd

FloatArray = NDArray[np.float64]
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

    def _keep(self, timed: NDArray[np.bool_], metered: NDArray[np.bool_]) -> PrimitiveData:
        return PrimitiveData(
            self.timed.take(timed), self.timed_s[timed], self.metered.take(metered), self.metered_s[metered],
            self.metered_w[metered], self.burst_s[metered], tuple(compress(self.timed_folds, timed)),
            tuple(compress(self.metered_folds, metered)), self.survey,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredWhole:
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
        """How its routers dealt, as far as that is known."""
        return TYPICAL_LOADS if self.run is None else self.run.loads


def gather_primitives(rows: pd.DataFrame, spec: DeviceSpec) -> PrimitiveData:
    """Distinct primitives of a frame in the columns of `Row`. Raises BadDataset if too few.

    Reference calls are left out, and replays with drawn loads: calls are predicted with equal ones.
    """
    own = rows[(rows["level"] == "primitive") & ~rows["reference"].astype(bool) & ~has_drawn_loads(rows)]
    found: dict[str, tuple[Call, str, bool]] = {}
    burst_s: dict[str, list[float]] = {}
    window: dict[str, list[tuple[float, float]]] = {}
    folds: dict[str, set[int]] = {}
    columns = ["signature", "dtype", "weights", "method", "duration_s", "power_w", "families"]
    for signature, workload_dtype, weights, method, duration_s, power_w, families in own[columns].to_numpy(
        dtype=object
    ):
        call = read_signature(signature)
        if not launches_kernel(call):  # replayed all the same, but its time is no time
            continue
        dtype, cold = effective_dtype(call, workload_dtype), bool(weights == "cold")
        key = fingerprint(call, dtype, cold)
        found.setdefault(key, (call, dtype, cold))
        folds.setdefault(key, set()).update(map(family_fold, families.split(",")))
        if method == "events":
            burst_s.setdefault(key, []).append(float(duration_s))
        else:
            window.setdefault(key, []).append((float(duration_s), float(power_w)))
    timed, metered = sorted(burst_s), [key for key in sorted(window) if key in burst_s]
    if len(timed) < _FEWEST_TIMED or len(metered) < _FEWEST_METERED:
        raise BadDataset(
            f"{len(timed)} timed and {len(metered)} metered primitives are too few to fit a predictor; expected at "
            f"least {_FEWEST_TIMED} and {_FEWEST_METERED}. Collect more with 'irene collect'."
        )
    medians = np.array([np.median(window[key], axis=0) for key in metered])
    data = PrimitiveData(
        _tabulate([found[key] for key in timed], spec),
        np.array([np.median(burst_s[key]) for key in timed]),
        _tabulate([found[key] for key in metered], spec),
        medians[:, 0],
        medians[:, 1],
        np.array([np.median(burst_s[key]) for key in metered]),
        tuple(frozenset(folds[key]) for key in timed),
        tuple(frozenset(folds[key]) for key in metered),
    )
    if len(np.unique(site_folds(data.metered.calls))) < 2:
        raise BadDataset("All metered primitives come from one site; nothing is left to judge by. Collect more.")
    return data


def gather_wholes(rows: pd.DataFrame, spec: DeviceSpec) -> list[MeasuredWhole]:
    """Every case of a module or model in each collection, sorted; reference calls left out."""
    own = rows[rows["level"].isin(["module", "model"]) & ~rows["reference"].astype(bool)]
    own.attrs = {}  # pandas copies them deeply at every step
    # A case has one way of dealing, the median of those that were noted: other seeds deal nearly alike, and some
    # collections noted none.
    own = own.assign(**{name: own.groupby("case")[name].transform("median") for name in _LOADS})
    wholes = []
    for _, runs in own.groupby(["collection", "case"], sort=True):
        # All repeats of a case were traced alike; the smallest text makes the choice one of the rows, not their order.
        leaves = _tabulate_tree(min(runs["tree"]), spec)
        execution, family, level = (str(runs[name].iloc[0]) for name in ("execution", "families", "level"))
        energy_j, duration_s, busy_pct = (float(runs[n].median()) for n in _MEASURED)
        wholes.append(MeasuredWhole(leaves, execution, family, level, energy_j, duration_s, busy_pct, median_run(runs)))
    return wholes


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


def site_folds(calls: Sequence[Call]) -> NDArray[np.int64]:
    """The fold of each call's site: a hash that no run changes."""
    return np.array([site_key(site_of_call(call)) % SITE_FOLDS for call in calls], dtype=np.int64)


def family_fold(family: str) -> int:
    """The fold of a family; the plan's grid belongs to none, so that its rows always stay."""
    return -1 if family == GRID else zlib.crc32(family.encode()) % FAMILY_FOLDS


@lru_cache(maxsize=1024)
def _tabulate_tree(text: str, spec: DeviceSpec) -> TreeLeaves:
    return tabulate_leaves(read_tree(text), spec)


def _tabulate(entries: Sequence[tuple[Call, str, bool]], spec: DeviceSpec) -> LeafTable:
    calls, dtypes, cold = zip(*entries, strict=True)
    return make_table(calls, dtypes, cold, spec)
