"""Commands about measured rows: `irene collect`, `irene train` and `irene evaluate`."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from irene.cli import options as opt
from irene.cli.output import write_output
from irene.default_device import DEFAULT_DEVICE
from irene.errors import BadInput

Dataset = Annotated[Path, typer.Argument(metavar="DIR", help="Measured rows, as 'irene collect' writes them.")]


def collect_rows(
    plan: Annotated[Path | None, typer.Option("--plan", metavar="PLAN", help="What to measure.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Where the rows go; an unfinished run goes on.")
    ] = None,
    reference: Annotated[
        bool, typer.Option("--reference", help="Meter one reference call alone, and print this board's card factor.")
    ] = False,
    time_limit_s: Annotated[
        float | None, typer.Option("--time-limit", metavar="SECONDS", min=0, help="Begin no case after so long.")
    ] = None,
) -> None:
    """Measure the cases of a plan on this machine's GPU; resumable."""
    if reference:
        if plan is not None or output is not None:
            raise BadInput("--reference measures one call and prints its factor; it takes no --plan and no --output.")
        from irene.predictor.reference import measure_card

        write_output(json.dumps(measure_card().to_json(), indent=2), None)
        return
    if plan is None or output is None:
        raise BadInput("Give a --plan and an --output, or --reference alone.")
    from irene.measuring import collect

    collect(plan, output, time_limit_s=time_limit_s)


def calibrate_device(
    output: Annotated[Path, typer.Option("--output", metavar="BUNDLE", help="Where the calibration and its rows go.")],
    device: opt.Device = DEFAULT_DEVICE,
    points: Annotated[int, typer.Option("--points", help="Calls to measure: 8, or 40 and more.")] = 40,
    for_model: Annotated[
        str | None, typer.Option("--for", metavar="MODEL", help="Measure calls of this model, and the model itself.")
    ] = None,
    sm_clock_mhz: opt.SmClockMhz = None,
    simulate: Annotated[
        bool, typer.Option("--simulate", help="Rehearse on a card that is made up: no GPU is needed.")
    ] = False,
) -> None:
    """Measure a few calls on this machine's GPU, and correct the predictor of its spec sheet by them."""
    from irene.predictor import calibrate

    calibrate(
        output, device=device, points=points, for_model=for_model, simulate=simulate,
        sm_clock_hz=None if sm_clock_mhz is None else sm_clock_mhz * 1e6,
    )  # fmt: skip


def train_bundle(
    dataset: Dataset,
    output: Annotated[Path, typer.Option("--output", metavar="BUNDLE", help="Where the predictor goes.")],
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="SHEET", help="Spec sheet, name or path; that of the rows' GPU."),
    ] = None,
) -> None:
    """Fit a predictor on measured rows and save it."""
    from irene.predictor import train

    train(dataset, output, device=device)


def print_evaluation(dataset: Dataset, file_format: opt.Format = "table", output: opt.Output = None) -> None:
    """How wrong predictions are on unseen model families."""
    opt.require_format(file_format)

    from irene.evaluation import evaluate

    frame = evaluate(dataset)
    rows = [{str(key): _plain(value) for key, value in row.items()} for row in frame.to_dict(orient="records")]
    if file_format == "json":
        text = json.dumps({"schema_version": 1, "rows": rows}, indent=2)
    elif file_format == "csv":
        from irene.reporting.export import rows_to_csv

        text = rows_to_csv(rows)
    else:
        from irene.evaluation.error_table import to_markdown

        text = to_markdown(frame)
    write_output(text, output)


def _plain(value: Any) -> Any:
    """A cell as JSON knows it: numpy's numbers as Python's, NaN as nothing."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and math.isnan(value) else value
