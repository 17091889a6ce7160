"""From a command's arguments to predictions: a model with its own settings, a saved tree, or a saved prediction."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from irene.cli import options as opt
from irene.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from irene.explanation.explanation import Explanation
    from irene.predictor.prediction import Prediction


def predict_as_asked(
    given: str, workload: opt.WorkloadOptions, board: Mapping[str, Any], predictor: str | None = None,
    dequantized: bool = False,
) -> Prediction:  # fmt: skip
    """The prediction of one MODEL argument on a `board` (`read_board`); its own settings go over the shared ones.

    What is saved keeps its own workload, with a warning where another was typed.
    """
    return _predict(given, workload, board, predictor, dequantized)[0]


def explain_as_asked(
    given: str, workload: opt.WorkloadOptions, board: Mapping[str, Any], predictor: str | None = None,
    dequantized: bool = False,
) -> tuple[Prediction, Explanation]:  # fmt: skip
    """As `predict_as_asked`, and why, with what a change would do; of a saved prediction nothing can be changed."""
    from irene.explanation.explaining import add_counterfactuals, explain_prediction

    prediction, model, own = _predict(given, workload, board, predictor, dequantized)
    explanation = explain_prediction(prediction)
    if model is prediction:
        return prediction, explanation
    return prediction, add_counterfactuals(explanation, prediction, model, dequantized=dequantized, **own)


def _predict(
    given: str, workload: opt.WorkloadOptions, board: Mapping[str, Any], predictor: str | None, dequantized: bool
) -> tuple[Prediction, Any, dict[str, Any]]:
    """A prediction, the model as it was read, and the board and predictor that it was asked of."""
    from irene.cli.revisions import names_revision, read_revision
    from irene.model_tree.tree import ModelTree
    from irene.predictor import predict
    from irene.predictor.prediction import Prediction
    from irene.predictor.reading import read_model

    model, settings = (given, {}) if os.path.exists(os.path.expanduser(given)) else read_settings(given)
    of_board = {key: settings.pop(key) for key in ("device", "predictor") if key in settings}
    own = {**board, "predictor": predictor} | of_board
    asked = opt.WorkloadOptions({**workload.given, **settings})
    found = read_revision(model) if names_revision(model) else read_model(model)
    is_saved = isinstance(found, ModelTree | Prediction)
    if isinstance(found, Prediction):
        prediction = found
    else:
        kept = ("expert_routing",) if is_saved else asked.given  # what a saved tree may be asked anew
        given_again = {name: asked.given[name] for name in kept if name in asked.given}
        prediction = predict(found, dequantized=dequantized, **own, **given_again)
    asked.warn_if_not_used(prediction.tree.workload, saved=is_saved)
    return prediction, found, own


def read_settings(given: str) -> tuple[str, dict[str, Any]]:
    """A model and the settings that follow it. Raises UnknownName for an unknown setting, BadInput for a value.

    >>> read_settings("bert-base-uncased,dtype=float32,batch-size=16")
    ('bert-base-uncased', {'dtype': 'float32', 'batch_size': 16})

    What belongs to a variant stays with the model:

    >>> read_settings("bert-base-uncased+set:hidden_act=relu,num_hidden_layers=6,batch-size=16")
    ('bert-base-uncased+set:hidden_act=relu,num_hidden_layers=6', {'batch_size': 16})
    """
    from irene.model_tree.workload import SIZES, Workload

    model, *pairs = given.split(",")
    known = [*(f.name for f in fields(Workload)), "device", "predictor"]
    while pairs and _belongs_to_variant(pairs[0], model, known):
        model = f"{model},{pairs.pop(0)}"
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        name = key.strip().replace("-", "_")
        if not equals or not value:
            raise BadInput(f"{given!r}: expected settings like 'dtype=float32' after the comma, got {pair!r}.")
        if name not in known:
            raise UnknownName("setting", key, [item.replace("_", "-") for item in known])
        if name in SIZES and not value.isdigit():
            raise BadInput(f"{given!r}: {key} must be a whole number, got {value!r}.")
        settings[name] = int(value) if name in SIZES else value
    return model, settings


def _belongs_to_variant(pair: str, model: str, settings: list[str]) -> bool:
    """Whether a part between commas is a value or a parameter of the last variant: no name is also a setting's."""
    if "+" not in model:
        return False
    key, equals, _ = pair.partition("=")
    return not equals or key.strip().replace("-", "_") not in settings
