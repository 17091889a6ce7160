"""What a survey of products teaches: one boosted regressor of time for each set of kernels, under the timings' own.

Where a library changes its kernels is a matter of thousands of small steps; a survey has profiled products by the ten
thousand, each once and less exactly than a timing. Its regressor gives the rough answer, which the blend that is taught
by timings sees and corrects. Calls that were also timed are not in it: what it says of them is never from memory.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import OrderedDict
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from irene.dataset.surveys import load_surveys
from irene.hardware.spec import DeviceSpec
from irene.predictor.blend import fit_trees
from irene.predictor.leaf_table import FloatArray, effective_dtype, make_table
from irene.primitives.call import read_signature
from irene.primitives.sites import Site, site_of_call

if TYPE_CHECKING:
    import pandas as pd
    import xgboost

_DTYPES = {"gemm-half": ("bfloat16", "float16"), "gemm-tf32": ("tf32",), "gemm-single": ("float32",)}
# Of a set of kernels: enough that more make next to no difference to what is left after the timings.
_MOST_ROWS = 50_000
_AT_ONCE = 5_000
_SETTINGS: dict[str, Any] = {
    "n_estimators": 400, "max_depth": 7, "learning_rate": 0.12, "max_bin": 64, "subsample": 0.8,
    "colsample_bytree": 0.5, "min_child_weight": 2.0,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class SurveyedKernels:
    """Products of one set of kernels: `features` (rows, columns), `target` and `sites` (rows,).

    `target` is the log of the time over the base time; `sites` are `site_key` of each product.
    """

    features: NDArray[np.float32]
    target: NDArray[np.float32]
    sites: NDArray[np.int64]


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
        return Survey(
            {
                name: SurveyedKernels(part.features[keep[name]], part.target[keep[name]], part.sites[keep[name]])
                for name, part in self.kernels.items()
            }
        )


def site_key(site: Site) -> int:
    """A number for a site, the same on every machine."""
    return zlib.crc32(repr(site).encode())


def gather_survey(directory: str | Path, rows: pd.DataFrame, spec: DeviceSpec) -> Survey | None:
    """The surveys at or below `directory` without the calls of `rows`, measured ones; None if there is none.

    Of each set of kernels at most 50,000 products, drawn at random, always the same ones. Takes half a minute.
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
    columns = [[list(own[name]) for name in ("signature", "dtype", "duration_s")] for own in drawn.values()]
    parts = Parallel(n_jobs=2)(delayed(_tabulate)(n, *own, spec) for n, own in zip(drawn, columns, strict=True))
    return Survey(dict(zip(drawn, parts, strict=True)))


def fit_surveyed(survey: Survey, seed: int = 0) -> dict[str, xgboost.Booster]:
    """A regressor of time for each set of kernels; fitted once for the same numbers, two side by side."""
    with ThreadPoolExecutor(2) as pool:
        fitted = pool.map(lambda part: _fit_once(part, seed), survey.kernels.values())
        return dict(zip(survey.kernels, fitted, strict=True))


def _tabulate(
    regressor: str, signatures: list[str], dtypes: list[str], durations_s: list[float], spec: DeviceSpec
) -> SurveyedKernels:
    calls = [read_signature(signature) for signature in signatures]
    modes = [effective_dtype(call, dtype) for call, dtype in zip(calls, dtypes, strict=True)]
    table = make_table(calls, modes, [False] * len(calls), spec)
    members = np.flatnonzero(np.array(table.regressors, dtype=np.str_) == regressor)
    blocks = [
        table.compute_matrix(regressor, members[start : start + _AT_ONCE]).astype(np.float32)
        for start in range(0, len(members), _AT_ONCE)
    ]
    target = np.log(np.array(durations_s)[members] / table.base_s[members])
    sites = np.array([site_key(site_of_call(calls[at])) for at in members], dtype=np.int64)
    return SurveyedKernels(np.vstack(blocks), target.astype(np.float32), sites)


_FITTED: OrderedDict[bytes, xgboost.Booster] = OrderedDict()
_MOST_FITTED = 24  # some megabytes each


def _fit_once(part: SurveyedKernels, seed: int) -> xgboost.Booster:
    known = (part.features.tobytes(), part.target.tobytes(), str(seed).encode())
    key = hashlib.sha256(b"".join(known)).digest()
    if key not in _FITTED:
        features: FloatArray = part.features.astype(np.float64)
        _FITTED[key] = fit_trees(features, part.target.astype(np.float64), _SETTINGS, seed)
        while len(_FITTED) > _MOST_FITTED:
            _FITTED.popitem(last=False)
    return _FITTED[key]
