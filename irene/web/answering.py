"""What a worker does with a question: predict, and write the report or the JSON; an error becomes one line."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from irene.errors import BadInput, IreneError
from irene.web.question import Question

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction

_MORE_BYTES = 12 * 2**30
"""Address space that a worker may take beyond what it has as it starts; a prediction of Llama-405B needs a tenth."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A page or JSON with the status of HTTP that it is sent with; of an error `text` is its line."""

    status: int
    text: str


def answer(question: Question, form: str) -> Answer:
    """The report ('html') or the prediction ('json') that a question asks for; 400 with a line for bad input."""
    try:
        prediction, model = _predict(question)
        if form == "json":
            from irene.reporting.formats import write_prediction

            return Answer(200, str(write_prediction(prediction, "json")))
        from irene.explanation.explaining import add_counterfactuals, explain_prediction
        from irene.reporting.report_page import render_report

        why = add_counterfactuals(explain_prediction(prediction), prediction, model, device=question.device)
    except IreneError as problem:
        return Answer(400, str(problem))
    name = prediction.tree.model
    page = render_report({name: prediction}, explanations={name: why}, home=f"/?{question.to_query()}")
    return Answer(200, page)


def prepare_worker() -> None:
    """Keep a worker to its memory, and from asking any network; then load what every answer needs."""
    import os

    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_VERBOSITY="critical", HF_HUB_VERBOSITY="critical")
    if sys.platform == "linux":
        import resource

        now_bytes = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
        limit = now_bytes + _MORE_BYTES
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard in (resource.RLIM_INFINITY, -1) or limit < hard:
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    import warnings

    warnings.simplefilter("ignore")  # a report says what does not fit
    answer(Question(model="bert-tiny"), "html")


def _predict(question: Question) -> tuple[Prediction, Any]:
    """What is predicted, and the model as it was read, of which changes are predicted too."""
    from irene.predictor import predict
    from irene.predictor.reading import read_model

    plus = _plus(question.variant)
    settings: dict[str, Any] = {"device": question.device, **question.settings}
    if not question.config:
        model = read_model(question.model + plus)
        return predict(model, **settings), model
    with TemporaryDirectory() as folder:
        path = Path(folder, "config.json")
        path.write_text(question.config, "utf-8")
        try:
            model = read_model(f"{path}{plus}")
            found = predict(model, **settings)
        except IreneError as problem:  # who asks has no such folder
            raise BadInput(str(problem).replace(str(path), path.name)) from None
    shown = f"{path.name}{plus}"
    return replace(found, tree=replace(found.tree, model=shown)), replace(model, name=shown)


def _plus(variant: str) -> str:
    return f"+{variant.removeprefix('+')}" if variant else ""
