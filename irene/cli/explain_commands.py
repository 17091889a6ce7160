"""Commands about why and which: `irene explain` and `irene compare`."""

from __future__ import annotations

import json
import sys
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irene.cli import options as opt
from irene.cli.output import write_output
from irene.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction

Bundle = Annotated[str | None, typer.Option("--predictor", metavar="BUNDLE", help="A bundle written by 'irene train'.")]
Unfold = Annotated[bool, typer.Option("--unfold", help="A row for each layer, also where layers are equal.")]
Compared = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL MODEL...",
        help="As for 'irene predict', or a prediction saved by 'irene predict --format json'; the first is the base. "
        "A model's own settings follow it: 'bert-base-uncased,dtype=float32,batch-size=16'.",
    ),
]


def print_explanation(
    model: opt.Model,
    device: opt.Device = "h200",
    dtype: opt.Dtype = None,
    batch_size: opt.BatchSize = None,
    seq_len: opt.SeqLen = None,
    decoder_seq_len: opt.DecoderSeqLen = None,
    task: opt.Task = None,
    execution: opt.Execution = None,
    new_tokens: opt.NewTokens = None,
    predictor: Bundle = None,
    depth: opt.Depth = None,
    top: Annotated[int, typer.Option("--top", help="Rows of each list in the table.")] = 10,
    unfold: Unfold = False,
    counterfactuals: Annotated[
        bool, typer.Option("--counterfactuals/--no-counterfactuals", help="Predict again with one thing changed.")
    ] = True,
    file_format: opt.Format = "table",
    output: opt.Output = None,
) -> None:
    """Where the joules of a model go, what limits each part, and what a change would do."""
    opt.require_format(file_format)
    opt.require_at_least("depth", depth, 0)
    opt.require_at_least("top", top, 1)
    workload = opt.WorkloadOptions(task, batch_size, seq_len, decoder_seq_len, dtype, execution, new_tokens)
    from irene.hardware.spec import load_device

    load_device(device)  # a wrong name is said now, not after seconds of tracing

    from irene.explanation import explain
    from irene.explanation.explaining import DEPTH

    what, saved = _load_if_saved(model)
    explanation = explain(
        what, device=device, predictor=predictor, depth=DEPTH if depth is None else depth, unfold=unfold,
        counterfactuals=counterfactuals, **({} if saved else workload.given),
    )  # fmt: skip
    workload.warn_if_not_used(explanation.workload, saved=saved)

    if file_format == "json":
        text = json.dumps(explanation.to_json())
    elif file_format == "csv":
        from irene.reporting.explanation_table import portion_rows
        from irene.reporting.export import rows_to_csv

        text = rows_to_csv(portion_rows(explanation))
    else:
        from irene.reporting.explanation_table import explanation_table
        from irene.reporting.rendering import render

        text = render(explanation_table(explanation, top), to_terminal=output is None and sys.stdout.isatty())
    write_output(text, output)


def print_comparison(
    models: Compared,
    device: opt.Device = "h200",
    dtype: opt.Dtype = None,
    batch_size: opt.BatchSize = None,
    seq_len: opt.SeqLen = None,
    decoder_seq_len: opt.DecoderSeqLen = None,
    task: opt.Task = None,
    execution: opt.Execution = None,
    new_tokens: opt.NewTokens = None,
    predictor: Bundle = None,
    unfold: Unfold = False,
    file_format: opt.Format = "table",
    output: opt.Output = None,
) -> None:
    """Two or more models or settings side by side: which layers make the difference, and is it sure."""
    opt.require_format(file_format)
    workload = opt.WorkloadOptions(task, batch_size, seq_len, decoder_seq_len, dtype, execution, new_tokens)
    if len(models) < 2:
        raise BadInput(f"Give two models or more to compare, got {len(models)}: 'irene compare A B'.")
    repeated = sorted({model for model in models if models.count(model) > 1})
    if repeated:
        raise BadInput(f"{repeated[0]!r} is given twice. Change a setting of one: '{repeated[0]},dtype=float32'.")
    from irene.hardware.spec import load_device

    load_device(device)

    from irene.explanation import compare

    comparison = compare({model: _predict(model, workload, device, predictor) for model in models})

    if file_format == "json":
        text = json.dumps(comparison.to_json())
    elif file_format == "csv":
        from irene.reporting.comparison_table import contribution_rows
        from irene.reporting.export import rows_to_csv

        text = rows_to_csv(contribution_rows(comparison))
    else:
        from irene.reporting.comparison_table import comparison_table
        from irene.reporting.rendering import render

        shown = comparison_table(comparison, unfold=unfold)
        text = render(shown, to_terminal=output is None and sys.stdout.isatty())
    write_output(text, output)


def _predict(given: str, workload: opt.WorkloadOptions, device: str, predictor: str | None) -> Prediction:
    """The prediction of one argument: a saved one, or a model with its own settings over the shared ones."""
    from irene.predictor import predict

    what, saved = _load_if_saved(given)
    if not isinstance(what, str):
        workload.warn_if_not_used(what.tree.workload if hasattr(what, "tree") else what.workload, saved=saved)
        return what if hasattr(what, "tree") else predict(what, device=device, predictor=predictor)
    model, settings = read_settings(given)
    own = {"device": device, "predictor": predictor} | {
        key: settings.pop(key) for key in ("device", "predictor") if key in settings
    }
    used = replace(workload, **settings)
    prediction = predict(model, **own, **used.given)
    used.warn_if_not_used(prediction.tree.workload, saved=False)
    return prediction


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


def _load_if_saved(model: str) -> tuple[Any, bool]:
    """A saved prediction or tree, and True; or the name itself, and False."""
    from irene.predictor.saved_prediction import is_saved_prediction, load_prediction

    if is_saved_prediction(model):
        return load_prediction(model), True
    tree = opt.load_if_saved(model)
    return (model, False) if tree is None else (tree, True)
