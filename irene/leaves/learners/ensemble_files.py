"""An ensemble as the bytes of one file and back: arrays of its trees, its Gaussian process and its survey's trees.

Data, never pickles: anything but exactly the expected arrays is refused before it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from irene.errors import BadInput
from irene.leaves.learners.array_files import arrays_from_bytes, arrays_to_bytes
from irene.leaves.learners.ensemble import Ensemble
from irene.leaves.learners.sparse_gp import SparseGP
from irene.leaves.learners.survey_trees import SurveyTrees
from irene.leaves.learners.tree_files import TREE_ARRAYS, trees_from_arrays, trees_to_arrays

SUFFIX = ".npz"
_TREES, _GP, _PRIOR = "trees.", "gp.", "survey."
_STORED: Mapping[str, type[np.generic]] = {
    "columns": np.int32,
    "inducing_points": np.float32,
    "coefficients": np.float32,
}
_MOST_POINT_NUMBERS = 5_000_000  # twenty times what a Gaussian process has here
_ARRAYS = tuple(field.name for field in fields(SparseGP) if field.init)


def ensemble_to_bytes(ensemble: Ensemble) -> bytes:
    """The content of a file; the same ensemble gives the same bytes."""
    gp = {name: np.asarray(getattr(ensemble.gp, name), _STORED.get(name, np.float64)) for name in _ARRAYS}
    gp["inducing_points"] = np.ascontiguousarray(gp["inducing_points"].T)  # a column's numbers are alike: a tenth less
    arrays = _prefixed(_TREES, trees_to_arrays(ensemble.trees)) | _prefixed(_GP, gp)
    if ensemble.prior is not None:
        prior = trees_to_arrays(ensemble.prior.trees) | {"seen": ensemble.prior.columns.astype(np.int32)}
        arrays |= _prefixed(_PRIOR, prior)
    return arrays_to_bytes(arrays)


def ensemble_from_bytes(name: str, raw: bytes, gp_share: float, columns: int) -> Ensemble:
    """The ensemble that was saved as `raw`, for rows of `columns` features. Raises BadInput, by `name`, if none."""
    try:
        arrays = arrays_from_bytes(raw)
        prior = None if f"{_PRIOR}seen" not in arrays else _prior(_own(_PRIOR, arrays, (*TREE_ARRAYS, "seen")), columns)
        seen = columns + (prior is not None)
        trees = trees_from_arrays(_own(_TREES, arrays, tuple(TREE_ARRAYS)))
        if trees.columns != seen:
            raise ValueError(f"its trees are of {trees.columns} columns, expected {seen}")
        gp = _gp(_own(_GP, arrays, _ARRAYS), seen)
        if arrays:
            raise ValueError(f"unknown arrays: {', '.join(sorted(arrays))}")
    except ValueError as error:
        raise BadInput(f"{name}: {error}") from None
    return Ensemble(trees, gp, gp_share, prior)


def _prefixed(prefix: str, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {prefix + name: array for name, array in arrays.items()}


def _own(prefix: str, arrays: dict[str, NDArray[Any]], names: tuple[str, ...]) -> dict[str, NDArray[Any]]:
    """The arrays of one part, taken out of `arrays`."""
    missing = sorted(set(names) - {name.removeprefix(prefix) for name in arrays if name.startswith(prefix)})
    if missing:
        raise ValueError(f"the arrays {', '.join(prefix + name for name in missing)} are missing")
    return {name: arrays.pop(prefix + name) for name in names}


def _prior(arrays: dict[str, NDArray[Any]], columns: int) -> SurveyTrees:
    seen = arrays.pop("seen").astype(np.int64)
    trees = trees_from_arrays(arrays)
    if seen.ndim != 1 or trees.columns != len(seen) + 1 or not ((seen >= 0) & (seen < columns)).all():
        raise ValueError(f"its survey's trees do not fit {columns} features")
    return SurveyTrees(trees, seen)


def _gp(arrays: dict[str, NDArray[Any]], columns: int) -> SparseGP:
    found = {name: array.astype(np.int64 if name == "columns" else np.float64) for name, array in arrays.items()}
    if found["inducing_points"].ndim != 2 or not found["inducing_points"].size or found["offset"].ndim:
        raise ValueError("the points of its Gaussian process are no table")
    if not all(np.isfinite(array).all() for array in found.values()):
        raise ValueError("a number of its Gaussian process is not finite")
    found["inducing_points"] = np.ascontiguousarray(found["inducing_points"].T)
    rows, kept = found["inducing_points"].shape
    if rows * kept > _MOST_POINT_NUMBERS:
        raise ValueError(f"its Gaussian process has {rows} points of {kept} numbers")
    shapes = [found[name].shape for name in ("columns", "centre", "scale", "coefficients")]
    if shapes != [(kept,), (kept,), (kept,), (rows,)]:
        raise ValueError("the arrays of its Gaussian process do not fit each other")
    if not ((found["columns"] >= 0) & (found["columns"] < columns)).all():
        raise ValueError(f"its Gaussian process looks at more than {columns} features")
    return SparseGP(**found | {"offset": float(found["offset"])})  # type: ignore[arg-type]
