"""Commands about why and which: `irene explain` and `irene compare`."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from irene.cli import options as opt
from irene.cli.output import write_output
from irene.cli.predicting import load_if_saved, predict_as_asked
from irene.errors import BadInput

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
    predictor: opt.Predictor = None,
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

    saved = load_if_saved(model)
    explanation = explain(
        model if saved is None else saved, device=device, predictor=predictor,
        depth=DEPTH if depth is None else depth, unfold=unfold, counterfactuals=counterfactuals,
        **(workload.given if saved is None else {}),
    )  # fmt: skip
    workload.warn_if_not_used(explanation.workload, saved=saved is not None)

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
    predictor: opt.Predictor = None,
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

    comparison = compare({model: predict_as_asked(model, workload, device, predictor) for model in models})

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
