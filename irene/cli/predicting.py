"""From a command's arguments to predictions: a model with its own settings, a saved tree, or a saved prediction."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from irene.cli import options as opt
from irene.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from irene.model_tree.tree import ModelTree
    from irene.predictor.prediction import Prediction


def predict_as_asked(
    given: str, workload: opt.WorkloadOptions, device: str, predictor: str | None = None
) -> Prediction:
    """The prediction of one MODEL argument, whose own settings go over the shared ones.

    What is saved keeps its own workload, with a warning where another was typed.
    """
    from irene.hardware.spec import load_device
    from irene.predictor import predict
    from irene.predictor.prediction import Prediction

    load_device(device)  # a wrong name is said now, not after seconds of tracing
    saved = load_if_saved(given)
    if saved is not None:
        prediction = saved if isinstance(saved, Prediction) else predict(saved, device=device, predictor=predictor)
        workload.warn_if_not_used(prediction.tree.workload, saved=True)
        return prediction
    model, settings = read_settings(given)
    own = {"device": device, "predictor": predictor} | {
        key: settings.pop(key) for key in ("device", "predictor") if key in settings
    }
    used = replace(workload, **settings)
    prediction = predict(model, **own, **used.given)
    used.warn_if_not_used(prediction.tree.workload, saved=False)
    return prediction


def load_if_saved(model: str) -> ModelTree | Prediction | None:
    """The prediction or tree that MODEL is the path of, if it is one; needs no torch."""
    from irene.predictor.saved_prediction import is_saved_prediction, load_prediction

    return load_prediction(model) if is_saved_prediction(model) else opt.load_if_saved(model)


def read_settings(given: str) -> tuple[str, dict[str, Any]]:
    """A model and the settings that follow it. Raises UnknownName for an unknown setting, BadInput for a value.

    >>> read_settings("bert-base-uncased,dtype=float32,batch-size=16")
    ('bert-base-uncased', {'dtype': 'float32', 'batch_size': 16})
    """
    model, *pairs = given.split(",")
    whole_numbers = ("batch_size", "seq_len", "decoder_seq_len", "new_tokens")
    known = [*(f.name for f in fields(opt.WorkloadOptions)), "device", "predictor"]
    settings: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        name = key.strip().replace("-", "_")
        if not equals or not value:
            raise BadInput(f"{given!r}: expected settings like 'dtype=float32' after the comma, got {pair!r}.")
        if name not in known:
            raise UnknownName("setting", key, [item.replace("_", "-") for item in known])
        if name in whole_numbers and not value.isdigit():
            raise BadInput(f"{given!r}: {key} must be a whole number, got {value!r}.")
        settings[name] = int(value) if name in whole_numbers else value
    return model, settings
