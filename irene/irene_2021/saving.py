"""A fitted `irene-2021` as a JSON file: data, not a pickle; read strictly."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from irene.errors import BadBundle, BadConfig
from irene.fields import Field, open_fields
from irene.files import write_whole
from irene.irene_2021.estimator import Irene2021
from irene.irene_2021.features import Scaling
from irene.irene_2021.linear_leaves import LinearLeaf
from irene.irene_2021.node_table import Floats
from irene.irene_2021.settings import settings_from

_FORMAT = "irene-2021"
_VERSION = 1
_KEYS = {"format", "version", "settings", "seed", "stand_ins", "leaves", "scaling", "weights"}


def save_estimator(estimator: Irene2021, path: str | Path) -> None:
    """Write a fitted estimator, whole or not at all. Raises `BadInput` where nothing can be written."""
    data = {
        "format": _FORMAT,
        "version": _VERSION,
        "settings": asdict(estimator.settings),
        "seed": estimator.seed,
        "stand_ins": estimator.stand_ins,
        "leaves": {
            name: {
                **_list_scaling(leaf.scaling),
                "coefficients": leaf.coefficients.tolist(),
                "intercept_j": leaf.intercept_j,
            }
            for name, leaf in estimator.leaves_.items()
        },
        "scaling": _list_scaling(estimator.scaling_),
        "weights": estimator.theta_.tolist(),
    }
    write_whole(Path(path), (json.dumps(data) + "\n").encode("utf-8"))


def load_estimator(path: str | Path) -> Irene2021:
    """Read what `save_estimator` wrote. Raises `BadBundle` for anything else."""
    top = open_fields(path, f"fitted {_FORMAT}", BadBundle, "'irene irene-2021 train' writes one.")
    if top["format"].value != _FORMAT or top["version"].value != _VERSION:
        top.fail(f"a fitted {_FORMAT} of version {_VERSION}")
    top.keys(_KEYS)
    try:
        settings = settings_from(top["settings"].value, str(path))
    except BadConfig as error:
        raise BadBundle(str(error)) from None
    stand_ins = {name: other.text(most=200) for name, other in top["stand_ins"].items().items()}
    estimator = Irene2021(settings, top["seed"].whole(), stand_ins)
    columns = len(settings.features)
    estimator.leaves_ = {
        name: LinearLeaf(
            _read_scaling(leaf.keys(("mean", "deviation", "coefficients", "intercept_j")), columns),
            _read_numbers(leaf["coefficients"], columns),
            leaf["intercept_j"].number(),
        )
        for name, leaf in top["leaves"].items().items()
    }
    if not estimator.leaves_:
        top["leaves"].fail("at least one leaf")
    estimator.scaling_ = _read_scaling(top["scaling"].keys(("mean", "deviation")), columns)
    products = math.comb(columns + 3, 3) if settings.polynomial_features else columns  # as expand_cubic makes them
    estimator.theta_ = _read_numbers(top["weights"], products + 1)
    return estimator


def _list_scaling(scaling: Scaling) -> dict[str, Any]:
    return {"mean": scaling.mean.tolist(), "deviation": scaling.deviation.tolist()}


def _read_scaling(field: Field, columns: int) -> Scaling:
    deviation = _read_numbers(field["deviation"], columns)
    if not (deviation > 0).all():
        field["deviation"].fail("numbers above 0")
    return Scaling(_read_numbers(field["mean"], columns), deviation)


def _read_numbers(field: Field, length: int) -> Floats:
    return np.array([item.number() for item in field.list(length)], dtype=np.float64)
