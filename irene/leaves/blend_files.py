"""A blend as bytes and back: trees in XGBoost's own format, the smooth regressor as named arrays in single precision.

The rough regressor under a blend, where it has one, is a third file, compressed.

Data, never pickles: arrays are read with pickling off, and anything but exactly the expected ones is refused.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING

import numpy as np

from irene.errors import BadInput
from irene.leaves.blend import Blend
from irene.leaves.rough_regressor import rough_from_bytes, rough_to_bytes
from irene.leaves.smooth_regressor import SmoothRegressor

if TYPE_CHECKING:
    import xgboost

SUFFIXES = (".ubj", ".npz")
ROUGH_SUFFIX = ".rough.ubj.gz"
_STORED = {"columns": "int32", "centre": "float64", "scale": "float64", "points": "float32", "weights": "float32"}
_ARRAYS = tuple(field.name for field in fields(SmoothRegressor) if field.init)


def blend_to_bytes(name: str, blend: Blend) -> dict[str, bytes]:
    """File names and contents; the same blend gives the same bytes."""
    stored = {array: np.asarray(getattr(blend.smooth, array), _STORED.get(array, "float64")) for array in _ARRAYS}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **stored)
    files = {f"{name}{SUFFIXES[0]}": bytes(blend.trees.save_raw("ubj")), f"{name}{SUFFIXES[1]}": buffer.getvalue()}
    if blend.rough is not None:
        files[name + ROUGH_SUFFIX] = rough_to_bytes(blend.rough)
    return files


def blend_from_bytes(name: str, files: Mapping[str, bytes], smooth_share: float, columns: int) -> Blend:
    """The blend that was saved under `name`, for rows of `columns` features. Raises BadInput if it is not one."""
    rough = files.get(name + ROUGH_SUFFIX)
    trees, arrays = (files[name + suffix] for suffix in SUFFIXES)
    smooth = _smooth(name, arrays, columns + (rough is not None))
    return Blend(_booster(trees), smooth, smooth_share, None if rough is None else rough_from_bytes(rough, columns))


def _booster(raw: bytes) -> xgboost.Booster:
    import xgboost

    booster = xgboost.Booster()
    booster.load_model(bytearray(raw))
    booster.set_param({"nthread": 2})  # rows are independent: the same answer
    return booster


def _smooth(name: str, raw: bytes, columns: int) -> SmoothRegressor:
    with np.load(io.BytesIO(raw), allow_pickle=False) as stored:
        if sorted(stored.files) != sorted(_ARRAYS):
            raise BadInput(f"{name}: expected the arrays {', '.join(_ARRAYS)}, got {', '.join(stored.files)}")
        found = {array: stored[array] for array in _ARRAYS}
    if found["points"].ndim != 2 or not len(found["points"]):
        raise BadInput(f"{name}: its points are no table")
    smooth = SmoothRegressor(
        columns=found["columns"].astype(np.int64),
        **{array: found[array].astype(np.float64) for array in ("centre", "scale", "points", "weights")},
        offset=float(found["offset"]),
    )
    rows, kept = smooth.points.shape
    shapes = (smooth.columns.shape, smooth.centre.shape, smooth.scale.shape, smooth.weights.shape)
    if shapes != ((kept,), (kept,), (kept,), (rows,)) or not ((smooth.columns >= 0) & (smooth.columns < columns)).all():
        raise BadInput(f"{name}: its arrays do not fit {columns} features")
    return smooth
