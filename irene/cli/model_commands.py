"""Commands about one model: `irene predict` and `irene tree`."""

from __future__ import annotations

import json
import warnings
from typing import Annotated

import typer

from irene.cli import options as opt
from irene.cli.output import stdout_is_terminal, write_output
from irene.cli.predicting import predict_as_asked
from irene.default_device import DEFAULT_DEVICE
from irene.errors import BadInput

DEFAULT_DEPTH = 3

PredictionFormat = Annotated[
    str,
    typer.Option(
        "--format",
        help="table, json, csv, parquet, markdown, model-card, perfetto (a trace), speedscope, or irene-2021 (a tree).",
    ),
]


@opt.takes_workload
def print_prediction(
    model: opt.Model,
    workload: opt.WorkloadOptions,
    device: opt.Device = DEFAULT_DEVICE,
    sm_clock_mhz: opt.SmClockMhz = None,
    card_factor: opt.CardFactor = 1.0,
    dequantized: opt.Dequantized = False,
    predictor: opt.Predictor = None,
    depth: opt.Depth = None,
    file_format: PredictionFormat = "table",
    carbon_intensity: opt.CarbonIntensity = None,
    price: opt.Price = None,
    pue: opt.Pue = None,
    must_fit: Annotated[
        bool, typer.Option("--must-fit", help="Exit with 3 where the workload needs more memory than the device has.")
    ] = False,
    output: opt.Output = None,
) -> None:
    """Energy, time and power of a model and its parts."""
    from irene.reporting.footprint import read_facility
    from irene.reporting.formats import FILE_FORMATS

    opt.require_format(file_format, ("table", *FILE_FORMATS))
    opt.require_at_least("depth", depth, 0)
    facility = read_facility(carbon_intensity, price, pue)
    board = opt.read_board(device, sm_clock_mhz, card_factor)
    prediction = predict_as_asked(model, workload, board, predictor, dequantized)
    if must_fit and prediction.fits is None:
        raise BadInput(f"{model}: --must-fit needs its memory, which was not saved with it; give a name or a config.")

    if file_format != "table":
        from irene.reporting.formats import write_prediction

        if file_format == "model-card" and (facility is None or facility.carbon_intensity_g_per_kwh is None):
            warnings.warn("Without --carbon-intensity the card has no co2_eq_emissions.", stacklevel=2)
        write_output(write_prediction(prediction, file_format, facility), output)
    else:
        from irene.reporting.prediction_table import prediction_table
        from irene.reporting.rendering import render

        levels = DEFAULT_DEPTH if depth is None else depth
        to_terminal = output is None and stdout_is_terminal()
        write_output(render(prediction_table(prediction, levels, facility), to_terminal=to_terminal), output)
    if must_fit and not prediction.fits:
        raise typer.Exit(3)


@opt.takes_workload
def print_tree(
    model: opt.Model,
    workload: opt.WorkloadOptions,
    depth: opt.Depth = None,
    file_format: opt.Format = "table",
    output: opt.Output = None,
) -> None:
    """Calls of a model: FLOP, bytes, parameters.

    With --format json, the tree that other commands accept as MODEL, without torch.
    """
    opt.require_format(file_format)
    opt.require_at_least("depth", depth, 0)
    from irene.model_tree.tree import ModelTree
    from irene.predictor.prediction import Prediction
    from irene.predictor.reading import read_model

    found = read_model(model)
    if isinstance(found, Prediction):
        raise BadInput(f"{model} is a saved prediction, without shapes: name the model, or a saved tree.")
    if isinstance(found, ModelTree):
        tree = found
    else:
        from irene.model_tree.workload import Workload
        from irene.tracing.known_trees import choose_dtype, trace_or_find

        given = {"seq_len": None, **workload.given, "dtype": choose_dtype(found, workload.given.get("dtype"))}
        tree = trace_or_find(found, Workload(**given))
    workload.warn_if_not_used(tree.workload, saved=isinstance(found, ModelTree))

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
        text = render(work_table(tree, levels), to_terminal=output is None and stdout_is_terminal())
    write_output(text, output)
