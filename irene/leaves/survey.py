"""What a survey of products teaches: one boosted regressor of time for each set of kernels, under the timings' own.

Where a library changes its kernels is a matter of thousands of small steps; a survey has profiled products by the ten
thousand, each once and less exactly than a timing. Its regressor gives the rough answer, which the blend that is taught
by timings sees and corrects. Calls that were also timed are not in it: what it says of them is never from memory.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from irene.dataset.surveys import load_surveys
from irene.hardware.spec import DeviceSpec
from irene.leaves.fitted_once import FittedOnce, share_fits
from irene.leaves.leaf_table import effective_dtype, make_table
from irene.leaves.rough_regressor import RoughRegressor, fit_rough
from irene.primitives.call import read_signature
from irene.primitives.sites import Site, site_of_call

if TYPE_CHECKING:
    import pandas as pd

_DTYPES = {"gemm-half": ("bfloat16", "float16"), "gemm-tf32": ("tf32",), "gemm-single": ("float32",)}
_MOST_ROWS = 200_000  # of a set of kernels: what training has time for
_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True, eq=False)
class SurveyedKernels:
    """Products of one set of kernels: `features` (rows, columns), `log_clock`, `target` and `sites` (rows,).

    `log_clock` is the log of the clock over the full one, NaN where it was not read; `target` the log of the time over
    the base time; `sites` are `site_key` of each product.
    """

    features: NDArray[np.float32]
    log_clock: NDArray[np.float32]
    target: NDArray[np.float32]
    sites: NDArray[np.int64]

    def take(self, keep: NDArray[np.bool_]) -> SurveyedKernels:
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
        """All but one of `folds` folds of sites, dealt by `site_key`."""
        return self._keep({name: part.sites % folds != fold for name, part in self.kernels.items()})

    def _keep(self, keep: Mapping[str, NDArray[np.bool_]]) -> Survey:
        return Survey({name: part.take(keep[name]) for name, part in self.kernels.items()})


def site_key(site: Site) -> int:
    """A number for a site, the same on every machine."""
    return zlib.crc32(repr(site).encode())


def gather_survey(directory: str | Path, rows: pd.DataFrame, spec: DeviceSpec, jobs: int = 2) -> Survey | None:
    """The surveys at or below `directory` without the calls of `rows`, measured ones; None if there is none.

    Of each set of kernels at most 200,000 products, drawn at random, always the same ones. Takes a
    minute with two processes.
    """
    from joblib import Parallel, delayed  # type: ignore[import-untyped]

    frame = load_surveys(directory)
    frame = frame[~frame["signature"].isin(set(rows["signature"]))]
    drawn = {}
    for name, dtypes in _DTYPES.items():
        own = frame[frame["dtype"].isin(dtypes)]
        if len(own):
            order = np.random.default_rng(0).permutation(len(own))[:_MOST_ROWS]
            drawn[name] = own.iloc[np.sort(order)]
    if not drawn:
        return None
    chunks = [
        (name, own.iloc[at : at + _AT_ONCE]) for name, own in drawn.items() for at in range(0, len(own), _AT_ONCE)
    ]
    parts = Parallel(n_jobs=jobs)(delayed(_tabulate)(name, chunk, spec) for name, chunk in chunks)
    return Survey(
        {name: _join([part for (of, _), part in zip(chunks, parts, strict=True) if of == name]) for name in drawn}
    )


def _join(parts: Sequence[SurveyedKernels]) -> SurveyedKernels:
    columns = ([getattr(part, field.name) for part in parts] for field in fields(SurveyedKernels))
    return SurveyedKernels(*map(np.concatenate, columns))


def fit_surveyed(survey: Survey, seed: int = 0) -> dict[str, RoughRegressor]:
    """A regressor of time for each set of kernels; fitted once for the same numbers."""
    return {name: _fit_once(part, seed) for name, part in survey.kernels.items()}


def fit_largest_first(surveys: Sequence[Survey], seed: int = 0) -> None:
    """Fit the regressors of several surveys before they are asked for: two side by side, so that no core waits."""
    parts = sorted((part for survey in surveys for part in survey.kernels.values()), key=lambda part: -len(part.target))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda part: _fit_once(part, seed), parts))


@dataclass(frozen=True, slots=True)
class RoughFit:
    """A fit that training will ask for: of a set of kernels, without some sites, without a fold of the rest, or -1."""

    regressor: str
    sites: frozenset[Site]
    fold: int
    seed: int


def list_fits(survey: Survey, sites: Collection[Site], site_folds: int, seed: int) -> list[RoughFit]:
    """What training on `survey` without `sites` asks for: each set of kernels whole, and without each fold of sites."""
    away = frozenset(sites)
    return [RoughFit(name, away, fold, seed) for name in survey.kernels for fold in range(-1, site_folds)]


def fit_ahead(survey: Survey, asked: RoughFit, site_folds: int, folder: Path) -> None:
    """Fit it into `folder`, where `share_fits` lets training find it: many can be fitted side by side."""
    share_fits(folder)
    own = Survey({asked.regressor: survey.kernels[asked.regressor]})
    own = own.without_sites(asked.sites) if asked.sites else own
    own = own.without_site_fold(asked.fold, site_folds) if asked.fold >= 0 else own
    fit_surveyed(own, asked.seed)


def _tabulate(regressor: str, products: pd.DataFrame, spec: DeviceSpec) -> SurveyedKernels:
    calls = [read_signature(signature) for signature in products["signature"]]
    modes = [effective_dtype(call, dtype) for call, dtype in zip(calls, products["dtype"], strict=True)]
    table = make_table(calls, modes, [False] * len(calls), spec)
    members = np.flatnonzero(np.array(table.regressors, dtype=np.str_) == regressor)
    features = table.compute_matrix(regressor, members).astype(np.float32)
    target = np.log(products["duration_s"].to_numpy()[members] / table.base_s[members])
    log_clock = np.log(products["sm_clock_hz"].to_numpy(dtype=np.float64)[members] / spec.max_sm_clock_hz)
    sites = np.array([site_key(site_of_call(calls[at])) for at in members], dtype=np.int64)
    return SurveyedKernels(features, log_clock.astype(np.float32), target.astype(np.float32), sites)


_FITTED: FittedOnce[RoughRegressor] = FittedOnce(24, is_shared=True)  # some megabytes each


def _fit_once(part: SurveyedKernels, seed: int) -> RoughRegressor:
    digest = hashlib.sha256(str(seed).encode())
    for numbers in (part.features, part.log_clock, part.target):
        digest.update(np.ascontiguousarray(numbers).data)
    return _FITTED.get(digest.digest(), lambda: fit_rough(part.features, part.log_clock, part.target, seed))
