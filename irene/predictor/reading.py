"""A MODEL argument, read once: every door asks here what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from irene.model_tree.model_files import open_model_file
from irene.predictor.prediction_files import is_prediction, prediction_from_json
from irene.tracing.sources import read_named, read_source


def read_model(model: Any) -> Any:
    """What a name or path means: a saved `Prediction`, a saved `ModelTree`, or a config with its name (`NamedConfig`).

    Anything else is given back as it is, so that a model may be read at any door and handed on. What is saved needs no
    torch. Raises BadInput and its kinds.
    """
    if not isinstance(model, str | Path):
        return read_source(model)
    file = open_model_file(model)
    if file is not None and is_prediction(file.content):
        return prediction_from_json(file.content, str(file.path))
    return read_named(str(model), file)
