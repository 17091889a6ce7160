"""What a worker does with a question: predict, and write the report or the JSON; an error becomes one line."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

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
        prediction = _predict(question)
    except IreneError as problem:
        return Answer(400, str(problem))
    if form == "json":
        from irene.reporting.formats import write_prediction

        return Answer(200, str(write_prediction(prediction, "json")))
    from irene.reporting.report_page import render_report

    return Answer(200, render_report({prediction.tree.model: prediction}, home=f"/?{question.to_query()}"))


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


def _predict(question: Question) -> Prediction:
    from irene.predictor import predict

    plus = _plus(question.variant)
    if not question.config:
        return predict(question.model + plus, device=question.device, **question.settings)  # type: ignore[arg-type]
    with TemporaryDirectory() as folder:
        path = Path(folder, "config.json")
        path.write_text(question.config, "utf-8")
        try:
            found = predict(f"{path}{plus}", device=question.device, **question.settings)  # type: ignore[arg-type]
        except IreneError as problem:  # who asks has no such folder
            raise BadInput(str(problem).replace(str(path), path.name)) from None
    return replace(found, tree=replace(found.tree, model=f"{path.name}{plus}"))


def _plus(variant: str) -> str:
    return f"+{variant.removeprefix('+')}" if variant else ""
