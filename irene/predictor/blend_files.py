"""A blend as bytes and back: trees in XGBoost's own format, the smooth regressor as named arrays in single precision.

Data, never pickles: arrays are read with pickling off, and anything but exactly the expected ones is refused.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import fields

import numpy as np

from irene.errors import BadInput
from irene.predictor.blend import Blend
from irene.predictor.smooth_regressor import SmoothRegressor

SUFFIXES = (".ubj", ".npz")
_STORED = {"columns": "int32", "centre": "float64", "scale": "float64", "points": "float32", "weights": "float32"}
_ARRAYS = tuple(field.name for field in fields(SmoothRegressor) if field.init)


def blend_to_bytes(name: str, blend: Blend) -> dict[str, bytes]:
    """File names and contents; the same blend gives the same bytes."""
    stored = {array: np.asarray(getattr(blend.smooth, array), _STORED.get(array, "float64")) for array in _ARRAYS}
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **stored)
    return dict(zip((name + suffix for suffix in SUFFIXES), (bytes(blend.trees.save_raw("ubj")), buffer.getvalue()),
                    strict=True))  # fmt: skip


def blend_from_bytes(name: str, files: Mapping[str, bytes], smooth_share: float, columns: int) -> Blend:
    """The blend that was saved under `name`, for rows of `columns` features. Raises BadInput if it is not one."""
    import xgboost

    trees, arrays = (files[name + suffix] for suffix in SUFFIXES)
    booster = xgboost.Booster()
    booster.load_model(bytearray(trees))
    booster.set_param({"nthread": 1})
    return Blend(booster, _smooth(name, arrays, columns), smooth_share)


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
