"""What a survey of products teaches: one boosted regressor of time for each set of kernels, under the timings' own.

Where a library changes its kernels is a matter of thousands of small steps; a survey has profiled products by the ten
thousand, each once and less exactly than a timing. Its trees give a prior, which the ensemble that is taught
by timings sees and corrects. Calls that were also timed are not in it: what it says of them is never from memory.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irene.arrays import BoolArray, IntArray
from irene.dataset.surveys import load_surveys, stack_products
from irene.hardware.spec import DeviceSpec
from irene.leaves.leaf_table import effective_dtype, make_table
from irene.leaves.learners.fit_cache import FitCache, share_fits
from irene.leaves.learners.survey_trees import SurveyTrees, describe_settings, fit_survey_trees
from irene.primitives.sites import Site, site_of_call
from irene.primitives.stacks import CallStack, ask, lanes_of, rows_by_word, words_of

if TYPE_CHECKING:
    import pandas as pd

_DTYPES = {"gemm-half": ("bfloat16", "float16"), "gemm-tf32": ("tf32",), "gemm-single": ("float32",)}
_MOST_ROWS = 200_000  # of a set of kernels: what training has time for
_AT_ONCE = 20_000  # whose columns are computed side by side


@dataclass(frozen=True, slots=True, eq=False)
class SurveyedKernels:
    """Products of one set of kernels: `features` (rows, columns), `log_clock`, `target` and `sites` (rows,).

    `log_clock` is the log of the clock over the full one, NaN where it was not read; `target` the log of the time over
    the base time; `sites` are `site_key` of each product.
    """

    features: NDArray[np.float32]
    log_clock: NDArray[np.float32]
    target: NDArray[np.float32]
    sites: IntArray

    def take(self, keep: BoolArray) -> SurveyedKernels:
        """The products where `keep` is true."""
        return SurveyedKernels(*(getattr(self, column.name)[keep] for column in fields(self)))


@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """Surveyed products as numbers, by regressor of time."""

    kernels: Mapping[str, SurveyedKernels]

    def without_sites(self, sites: Collection[Site]) -> Survey:
        """All but the products of some sites."""
        away = np.array([site_key(site) for site in sites], dtype=np.int64)
        return self._keep({name: ~np.isin(part.sites, away) for name, part in self.kernels.items()})

    def without_site_fold(self, fold: int, folds: int) -> Survey:
        """All but one of `folds` folds of sites, divided by `site_key`."""
        return self._keep({name: part.sites % folds != fold for name, part in self.kernels.items()})

    def _keep(self, keep: Mapping[str, BoolArray]) -> Survey:
        return Survey({name: part.take(keep[name]) for name, part in self.kernels.items()})


def site_key(site: Site) -> int:
    """A number for a site, the same on every machine."""
    return zlib.crc32(repr(site).encode())


def gather_survey(directory: str | Path, rows: pd.DataFrame, spec: DeviceSpec) -> Survey | None:
    """The surveys at or below `directory` without the calls of `rows`, measured ones; None if there is none.

    Of each set of kernels at most 200,000 products, drawn at random, always the same ones. Takes some seconds.
    """
    frame = load_surveys(directory, with_sizes=True)
    frame = frame[~frame["signature"].isin(set(rows["signature"]))]
    drawn = {}
    for name, dtypes in _DTYPES.items():
        own = frame[frame["dtype"].isin(dtypes)]
        if len(own):
            order = np.random.default_rng(0).permutation(len(own))[:_MOST_ROWS]
            drawn[name] = own.iloc[np.sort(order)]
    if not drawn:
        return None
    return Survey({name: _tabulate(name, own, spec) for name, own in drawn.items()})


def _tabulate(regressor: str, products: pd.DataFrame, spec: DeviceSpec) -> SurveyedKernels:
    parts = [
        _tabulate_some(regressor, products.iloc[at : at + _AT_ONCE], spec) for at in range(0, len(products), _AT_ONCE)
    ]
    columns = ([getattr(part, field.name) for part in parts] for field in fields(SurveyedKernels))
    return SurveyedKernels(*map(np.concatenate, columns))


def _tabulate_some(regressor: str, products: pd.DataFrame, spec: DeviceSpec) -> SurveyedKernels:
    calls = stack_products(products)
    modes = np.empty(len(calls), dtype=object)
    for dtype, rows in rows_by_word(products["dtype"]).items():
        modes[rows] = words_of(partial(effective_dtype, workload_dtype=dtype), calls.take(rows))
    table = make_table(calls, modes.tolist(), [False] * len(calls), spec)
    members = np.flatnonzero(np.array(table.regressors, dtype=np.str_) == regressor)
    features = table.compute_matrix(regressor, members).astype(np.float32)
    target = np.log(products["duration_s"].to_numpy()[members] / table.base_s[members])
    log_clock = np.log(products["sm_clock_hz"].to_numpy(dtype=np.float64)[members] / spec.max_sm_clock_hz)
    sites = _site_keys(calls.take(members))
    return SurveyedKernels(features, log_clock.astype(np.float32), target.astype(np.float32), sites)


def _site_keys(calls: CallStack) -> IntArray:
    keys = np.zeros(len(calls), dtype=np.int64)
    for rows, site in ask(site_of_call, calls):
        parts = [np.broadcast_to(np.asarray(lanes_of(part)), len(rows)).tolist() for part in site]
        keys[rows] = [site_key(each) for each in zip(*parts, strict=True)]
    return keys


def fit_surveyed(survey: Survey, seed: int = 0) -> dict[str, SurveyTrees]:
    """A regressor of time for each set of kernels; fitted once for the same numbers."""
    return {name: _fit_once(part, seed) for name, part in survey.kernels.items()}


def start_fits(pool: Executor, surveys: Sequence[Survey], seed: int = 0) -> None:
    """Have a pool of threads fit the regressors of several surveys, the largest first, before they are asked for.

    An error shows where the regressor is asked for, which fits it again.
    """
    parts = [part for survey in surveys for part in survey.kernels.values()]
    for part in sorted(parts, key=lambda part: -len(part.target)):
        pool.submit(_fit_once, part, seed)


@dataclass(frozen=True, slots=True)
class PriorFit:
    """A fit that training will ask for: of a set of kernels, without some sites, without a fold of the rest, or -1."""

    regressor: str
    sites: frozenset[Site]
    fold: int
    seed: int


def list_fits(survey: Survey, sites: Collection[Site], site_folds: int, seed: int) -> list[PriorFit]:
    """What training on `survey` without `sites` asks for: each set of kernels whole, and without each fold of sites."""
    away = frozenset(sites)
    return [PriorFit(name, away, fold, seed) for name in survey.kernels for fold in range(-1, site_folds)]


def fit_ahead(survey: Survey, asked: PriorFit, site_folds: int, folder: Path) -> None:
    """Fit it into `folder`, where `share_fits` lets training find it: many can be fitted side by side."""
    share_fits(folder)
    own = Survey({asked.regressor: survey.kernels[asked.regressor]})
    own = own.without_sites(asked.sites) if asked.sites else own
    own = own.without_site_fold(asked.fold, site_folds) if asked.fold >= 0 else own
    fit_surveyed(own, asked.seed)


_FITTED: FitCache[SurveyTrees] = FitCache(24, is_shared=True)  # some megabytes each


def _fit_once(part: SurveyedKernels, seed: int) -> SurveyTrees:
    digest = hashlib.sha256(f"{seed} {describe_settings()}".encode())
    for numbers in (part.features, part.log_clock, part.target):
        digest.update(np.ascontiguousarray(numbers).data)
    return _FITTED.get(digest.digest(), lambda: fit_survey_trees(part.features, part.log_clock, part.target, seed))
