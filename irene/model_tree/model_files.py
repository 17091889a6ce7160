"""The file that a MODEL argument names, read and parsed once: a config, a saved tree or a saved prediction."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from irene.errors import BadConfig
from irene.files import read_json


@dataclass(frozen=True, slots=True, eq=False)
class ModelFile:
    """A file and the JSON value in it: what that is, its content says."""

    path: Path
    content: Any


def open_model_file(model: str | Path) -> ModelFile | None:
    """The file, or the config.json of the directory, that MODEL names; None for the name of a model.

    Raises BadConfig for a file that is not there or cannot be read as JSON.
    """
    path = Path(os.path.expanduser(model))
    if os.path.isdir(path):
        path = path / "config.json"
    elif not os.path.isfile(path) and path.suffix != ".json":
        return None
    if not os.path.exists(path):
        raise BadConfig(f"No such file: {path}. Expected a config.json, or a directory that holds one.")
    return ModelFile(path, read_json(path, "model file", BadConfig))
