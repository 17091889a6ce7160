"""Commands about why and which: `irene explain` and `irene compare`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from irene.cli import options as opt
from irene.cli.output import say, stdout_is_terminal, write_output
from irene.cli.predicting import predict_as_asked
from irene.default_device import DEFAULT_DEVICE
from irene.errors import BadInput

Unfold = Annotated[bool, typer.Option("--unfold", help="A row for each layer, also where layers are equal.")]
Compared = Annotated[
    list[str],
    typer.Argument(
        metavar="MODEL MODEL...",
        help="As for 'irene predict', or a prediction saved by 'irene predict --format json'; the first is the base. "
        "A model's own settings follow it: 'bert-base-uncased,dtype=float32,batch-size=16'. "
        "'main:config.json' is that file as it is in git's revision 'main'.",
    ),
]
FailAbove = Annotated[
    str | None,
    typer.Option(
        "--fail-above",
        metavar="SHARE",
        help="Exit with 3 where a model needs more joules than the first one by more than this: 5%, or 0.05.",
    ),
]
ComparisonFormat = Annotated[
    str, typer.Option("--format", help="table, json, csv, markdown, or github (a comment that folds what is long).")
]


@opt.takes_workload
def print_explanation(
    model: opt.Model,
    workload: opt.WorkloadOptions,
    device: opt.Device = DEFAULT_DEVICE,
    sm_clock_mhz: opt.SmClockMhz = None,
    card_factor: opt.CardFactor = 1.0,
    dequantized: opt.Dequantized = False,
    predictor: opt.Predictor = None,
    depth: opt.Depth = None,
    top: Annotated[int, typer.Option("--top", help="Rows of each list in the table.")] = 10,
    unfold: Unfold = False,
    counterfactuals: opt.Counterfactuals = True,
    file_format: opt.Format = "table",
    output: opt.Output = None,
) -> None:
    """Where the joules go, what limits each part, what changes it."""
    opt.require_format(file_format)
    opt.require_at_least("depth", depth, 0)
    opt.require_at_least("top", top, 1)
    board = opt.read_board(device, sm_clock_mhz, card_factor)

    from irene.explanation import explain
    from irene.explanation.explaining import DEPTH
    from irene.model_tree.tree import ModelTree
    from irene.predictor.prediction import Prediction
    from irene.predictor.reading import read_model

    found = read_model(model)
    is_saved = isinstance(found, ModelTree | Prediction)
    explanation = explain(
        found, **board, predictor=predictor, dequantized=dequantized,
        depth=DEPTH if depth is None else depth, unfold=unfold, counterfactuals=counterfactuals,
        **({} if is_saved else workload.given),
    )  # fmt: skip
    workload.warn_if_not_used(explanation.workload, saved=is_saved)

    if file_format == "json":
        text = json.dumps(explanation.to_json())
    elif file_format == "csv":
        from irene.reporting.explanation_table import portion_rows
        from irene.reporting.export import rows_to_csv

        text = rows_to_csv(portion_rows(explanation))
    else:
        from irene.reporting.explanation_table import explanation_table
        from irene.reporting.rendering import render

        text = render(explanation_table(explanation, top), to_terminal=output is None and stdout_is_terminal())
    write_output(text, output)


@opt.takes_workload
def print_comparison(
    models: Compared,
    workload: opt.WorkloadOptions,
    device: opt.Device = DEFAULT_DEVICE,
    sm_clock_mhz: opt.SmClockMhz = None,
    card_factor: opt.CardFactor = 1.0,
    dequantized: opt.Dequantized = False,
    predictor: opt.Predictor = None,
    unfold: Unfold = False,
    fail_above: FailAbove = None,
    file_format: ComparisonFormat = "table",
    output: opt.Output = None,
) -> None:
    """Models or settings side by side: what differs, and is it sure."""
    opt.require_format(file_format, (*opt.FORMATS, "markdown", "github"))
    if len(models) < 2:
        raise BadInput(f"Give two models or more to compare, got {len(models)}: 'irene compare A B'.")
    repeated = sorted({model for model in models if models.count(model) > 1})
    if repeated:
        raise BadInput(f"{repeated[0]!r} is given twice. Change a setting of one: '{repeated[0]},dtype=float32'.")
    board = opt.read_board(device, sm_clock_mhz, card_factor)
    from irene.explanation import compare
    from irene.explanation.gate import check_gate, read_limit

    limit = None if fail_above is None else read_limit(fail_above)
    predictions = {model: predict_as_asked(model, workload, board, predictor, dequantized) for model in models}
    comparison = compare(predictions)
    gate = None if limit is None else check_gate(comparison, limit)

    if file_format == "json":
        text = json.dumps(comparison.to_json() | ({} if gate is None else {"gate": gate.to_json()}))
    elif file_format == "csv":
        from irene.reporting.comparison_table import contribution_rows
        from irene.reporting.export import rows_to_csv

        text = rows_to_csv(contribution_rows(comparison))
    elif file_format in ("markdown", "github"):
        from irene.reporting.comparison_markdown import comparison_to_markdown

        text = comparison_to_markdown(comparison, gate, for_github=file_format == "github")
    else:
        from irene.reporting.comparison_table import comparison_table
        from irene.reporting.rendering import render

        shown = comparison_table(comparison, unfold=unfold)
        text = render(shown, to_terminal=output is None and stdout_is_terminal())
    write_output(text, output)
    for line in () if gate is None else gate.lines():
        say(f"--fail-above {fail_above} {line}.")
    if gate is not None and gate.failed:
        raise typer.Exit(3)
