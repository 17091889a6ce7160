"""Commands about one model: `irene predict` and `irene tree`."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from typing import Annotated

import typer

from irene.cli import options as opt
from irene.cli.output import write_output
from irene.cli.predicting import predict_as_asked

DEFAULT_DEPTH = 3

PredictionFormat = Annotated[
    str,
    typer.Option(
        "--format",
        help="table, json, csv, parquet, markdown, model-card, perfetto (a trace), speedscope, or irene-2021 (a tree).",
    ),
]


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
    predictor: opt.Predictor = None,
    depth: opt.Depth = None,
    file_format: PredictionFormat = "table",
    carbon_intensity: opt.CarbonIntensity = None,
    price: opt.Price = None,
    pue: opt.Pue = None,
    output: opt.Output = None,
) -> None:
    """Energy, time and power of a model and its parts."""
    from irene.reporting.footprint import read_site
    from irene.reporting.formats import FILE_FORMATS

    opt.require_format(file_format, ("table", *FILE_FORMATS))
    opt.require_at_least("depth", depth, 0)
    site = read_site(carbon_intensity, price, pue)
    workload = opt.WorkloadOptions(task, batch_size, seq_len, decoder_seq_len, dtype, execution, new_tokens)
    prediction = predict_as_asked(model, workload, device, predictor)

    if file_format != "table":
        from irene.reporting.formats import write_prediction

        if file_format == "model-card" and (site is None or site.carbon_intensity_g_per_kwh is None):
            warnings.warn("Without --carbon-intensity the card has no co2_eq_emissions.", stacklevel=2)
        write_output(write_prediction(prediction, file_format, site), output)
        return
    from irene.reporting.prediction_table import prediction_table
    from irene.reporting.rendering import render

    levels = DEFAULT_DEPTH if depth is None else depth
    to_terminal = output is None and sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if to_terminal else None
    write_output(render(prediction_table(prediction, levels, width, site), to_terminal=to_terminal), output)


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
