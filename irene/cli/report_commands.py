"""The command that writes a page: `irene report`."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from irene.cli import options as opt
from irene.cli.output import write_output
from irene.cli.predicting import predict_as_asked

if TYPE_CHECKING:
    from irene.predictor.prediction import Prediction

Models = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="One model, or several to compare; as for 'irene compare'.")
]


def write_report(
    models: Models,
    device: opt.Device = "h200",
    dtype: opt.Dtype = None,
    batch_size: opt.BatchSize = None,
    seq_len: opt.SeqLen = None,
    decoder_seq_len: opt.DecoderSeqLen = None,
    task: opt.Task = None,
    execution: opt.Execution = None,
    new_tokens: opt.NewTokens = None,
    predictor: opt.Predictor = None,
    carbon_intensity: opt.CarbonIntensity = None,
    price: opt.Price = None,
    pue: opt.Pue = None,
    output: Annotated[Path, typer.Option("--output", help="The HTML file to write.")] = Path("report.html"),
    figures: Annotated[
        Path | None, typer.Option("--figures", metavar="DIR", help="Also write each figure there as PNG and SVG.")
    ] = None,
) -> None:
    """One HTML file that shows where the joules go; it opens without a network."""
    from irene.reporting.footprint import read_site

    site = read_site(carbon_intensity, price, pue)
    workload = opt.WorkloadOptions(task, batch_size, seq_len, decoder_seq_len, dtype, execution, new_tokens)
    predictions = _name(models, [predict_as_asked(model, workload, device, predictor) for model in models])

    from irene.reporting.report_page import render_report

    compared = None
    if len(predictions) > 1:
        from irene.explanation import compare

        compared = compare(predictions).to_json()
    write_output(render_report(predictions, site, compared), output)
    print(f"Wrote {output}.", file=sys.stderr)
    if figures is not None:
        from irene.reporting.static_figures import write_figures

        written = write_figures(predictions, figures)
        print(f"Wrote {len(written)} figures to {figures}.", file=sys.stderr)


def _name(models: list[str], predictions: list[Prediction]) -> dict[str, Prediction]:
    """Each prediction by its model's name; where two have one, by what was typed (or the file's name), or a number."""
    names = [prediction.tree.model for prediction in predictions]
    if len(set(names)) < len(names):
        names = [Path(model).stem if Path(model).is_file() else model for model in models]
    times, seen = Counter(names), Counter[str]()
    named = {}
    for name, prediction in zip(names, predictions, strict=True):
        seen[name] += 1
        named[name if times[name] == 1 else f"{name} ({seen[name]})"] = prediction
    return named
