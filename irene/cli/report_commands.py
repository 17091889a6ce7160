"""The command that writes a page: `irene report`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from irene.cli import options as opt
from irene.cli.bench_command import Lengths, predict_streams, read_scenarios
from irene.cli.output import make_folder, say, write_output
from irene.cli.predicting import explain_as_asked, predict_as_asked
from irene.default_device import DEFAULT_DEVICE
from irene.errors import BadInput

if TYPE_CHECKING:
    from irene.explanation.explanation import Explanation
    from irene.predictor.prediction import Prediction

Models = Annotated[
    list[str], typer.Argument(metavar="MODEL...", help="One model, or several to compare; as for 'irene compare'.")
]


@opt.takes_workload
def write_report(
    models: Models,
    workload: opt.WorkloadOptions,
    device: opt.Device = DEFAULT_DEVICE,
    sm_clock_mhz: opt.SmClockMhz = None,
    card_factor: opt.CardFactor = 1.0,
    dequantized: opt.Dequantized = False,
    predictor: opt.Predictor = None,
    carbon_intensity: opt.CarbonIntensity = None,
    price: opt.Price = None,
    pue: opt.Pue = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            "--scenario", help="Also under a stream of requests, as 'irene bench'; may be given several times."
        ),
    ] = None,
    lengths: Lengths = "128",
    counterfactuals: opt.Counterfactuals = True,
    output: Annotated[Path, typer.Option("--output", help="The HTML file to write.")] = Path("report.html"),
    figures: Annotated[
        Path | None, typer.Option("--figures", metavar="DIR", help="Also write each figure there as PNG and SVG.")
    ] = None,
) -> None:
    """One HTML file, without a network, that shows the joules."""
    from irene.reporting.footprint import read_facility

    facility = read_facility(carbon_intensity, price, pue)
    scenarios = read_scenarios(scenario) if scenario else []
    if scenarios and (sm_clock_mhz is not None or card_factor != 1.0):
        raise BadInput(
            "--scenario: streams are predicted of a usual board; leave --sm-clock-mhz and --card-factor out."
        )
    board = opt.read_board(device, sm_clock_mhz, card_factor)
    asked = (workload, board, predictor, dequantized)
    explanations: dict[str, Explanation] = {}
    if counterfactuals:
        pairs = [explain_as_asked(model, *asked) for model in models]
        predictions = _name(models, [prediction for prediction, _ in pairs])
        explanations = dict(zip(predictions, [explanation for _, explanation in pairs], strict=True))
    else:
        predictions = _name(models, [predict_as_asked(model, *asked) for model in models])

    from irene.reporting.report_page import render_report

    compared = None
    if len(predictions) > 1:
        from irene.explanation import compare

        compared = compare(predictions).to_json()
    shared = {**workload.given, "device": device, "predictor": predictor, "dequantized": dequantized}
    streams = predict_streams(scenarios, models, shared, {"lengths": lengths})
    write_output(render_report(predictions, facility, compared, streams, explanations=explanations), output)
    say(f"Wrote {output}.")
    if figures is not None:
        from irene.reporting.static_figures import write_figures

        make_folder(figures)
        written = write_figures(predictions, figures)
        say(f"Wrote {len(written)} figures to {figures}.")


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
