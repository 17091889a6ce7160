"""Commands about one model: `irene predict` and `irene tree`."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Annotated

import typer

from irene.cli import options as opt
from irene.cli.output import write_output

DEFAULT_DEPTH = 3


def print_prediction(
    model: opt.Model,
    device: opt.Device = "h200",
    dtype: opt.Dtype = None,
    batch_size: opt.BatchSize = None,
    seq_len: opt.SeqLen = None,
    decoder_seq_len: opt.DecoderSeqLen = None,
    task: opt.Task = None,
    execution: opt.Execution = None,
    new_tokens: opt.NewTokens = None,
    predictor: Annotated[
        str | None, typer.Option("--predictor", metavar="BUNDLE", help="A bundle written by 'irene train'.")
    ] = None,
    depth: opt.Depth = None,
    file_format: opt.Format = "table",
    output: opt.Output = None,
) -> None:
    """Energy, time and power of a model and its parts."""
    opt.require_format(file_format)
    opt.require_at_least("depth", depth, 0)
    workload = opt.WorkloadOptions(task, batch_size, seq_len, decoder_seq_len, dtype, execution, new_tokens)
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

    if file_format == "json":
        text = json.dumps(prediction.to_json())
    elif file_format == "csv":
        from irene.reporting.export import rows_to_csv

        text = rows_to_csv(list(prediction.rows()))
    else:
        from irene.reporting.prediction_table import prediction_table
        from irene.reporting.rendering import render

        levels = DEFAULT_DEPTH if depth is None else depth
        to_terminal = output is None and sys.stdout.isatty()
        width = shutil.get_terminal_size().columns if to_terminal else None
        text = render(prediction_table(prediction, levels, width), to_terminal=to_terminal)
    write_output(text, output)


def print_tree(
    model: opt.Model,
    dtype: opt.Dtype = None,
    batch_size: opt.BatchSize = None,
    seq_len: opt.SeqLen = None,
    decoder_seq_len: opt.DecoderSeqLen = None,
    task: opt.Task = None,
    execution: opt.Execution = None,
    new_tokens: opt.NewTokens = None,
    depth: opt.Depth = None,
    file_format: opt.Format = "table",
    output: opt.Output = None,
) -> None:
    """Calls of a model: FLOP, bytes, parameters.

    With --format json, the tree that other commands accept as MODEL, without torch.
    """
    opt.require_format(file_format)
    opt.require_at_least("depth", depth, 0)
    workload = opt.WorkloadOptions(task, batch_size, seq_len, decoder_seq_len, dtype, execution, new_tokens)
    saved = opt.load_if_saved(model)
    if saved is None:
        from irene.tracing import trace

        tree = trace(model, **workload.given)
    else:
        tree = saved
    workload.warn_if_not_used(tree.workload, saved=saved is not None)

    if file_format == "json":
        from irene.model_tree.serialization import tree_to_json

        text = json.dumps(tree_to_json(tree), separators=(",", ":"))
    elif file_format == "csv":
        from irene.reporting.export import rows_to_csv
        from irene.reporting.work_table import work_rows

        text = rows_to_csv(work_rows(tree))
    else:
        from irene.reporting.rendering import render
        from irene.reporting.work_table import work_table

        levels = DEFAULT_DEPTH if depth is None else depth
        text = render(work_table(tree, levels), to_terminal=output is None and sys.stdout.isatty())
    write_output(text, output)
