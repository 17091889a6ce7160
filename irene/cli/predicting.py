"""From the options of a command to a prediction: the part that `irene predict` and `irene report` share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from irene.cli import options as opt

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction


def predict_as_asked(
    model: str, workload: opt.WorkloadOptions, device: str, predictor: str | None = None
) -> Prediction:
    """The prediction of MODEL; a saved tree keeps its own workload, with a warning where another was typed."""
    from irene.hardware.spec import load_device

    load_device(device)  # a wrong name is said now, not after seconds of tracing
    tree = opt.load_if_saved(model)

    from irene.predictor import predict

    if tree is None:
        prediction = predict(model, device=device, predictor=predictor, **workload.given)
    else:
        used = {name: getattr(tree.workload, name) for name in workload.__dataclass_fields__}
        prediction = predict(tree, device=device, predictor=predictor, **used)
    workload.warn_if_not_used(prediction.tree.workload, saved=tree is not None)
    return prediction
