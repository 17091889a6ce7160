"""A fitted `irene-2021` as a JSON file: data, not a pickle; read strictly."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from irene.dataset.irene_2021.tree_files import write_whole
from irene.errors import BadBundle
from irene.predictor.irene_2021.estimator import Irene2021
from irene.predictor.irene_2021.features import Scaling
from irene.predictor.irene_2021.leaves import LinearLeaf
from irene.predictor.irene_2021.settings import settings_from

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
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadBundle(f"Cannot read {str(path)!r}: {error}.") from None
    if not isinstance(data, dict) or data.get("format") != _FORMAT or data.get("version") != _VERSION:
        raise BadBundle(
            f"{path.name} is no fitted {_FORMAT} of version {_VERSION}; 'irene irene-2021 train' writes one."
        )
    if set(data) != _KEYS:
        raise BadBundle(f"{path.name}: expected the keys {', '.join(sorted(_KEYS))}, got {', '.join(sorted(data))}.")
    try:
        estimator = Irene2021(settings_from(data["settings"], path.name), int(data["seed"]), data["stand_ins"])
        estimator.leaves_ = {
            name: LinearLeaf(_read_scaling(leaf), np.array(leaf["coefficients"], float), float(leaf["intercept_j"]))
            for name, leaf in data["leaves"].items()
        }
        estimator.scaling_ = _read_scaling(data["scaling"])
        estimator.theta_ = np.array(data["weights"], dtype=np.float64)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadBundle(f"{path.name} is damaged: {type(error).__name__}: {error}.") from None
    return estimator


def _list_scaling(scaling: Scaling) -> dict[str, Any]:
    return {"mean": scaling.mean.tolist(), "deviation": scaling.deviation.tolist()}


def _read_scaling(data: dict[str, Any]) -> Scaling:
    return Scaling(np.array(data["mean"], dtype=np.float64), np.array(data["deviation"], dtype=np.float64))
