"""Commands about measured rows: `irene collect`, `irene train` and `irene evaluate`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from irene.cli import options as opt
from irene.cli.output import write_output

Dataset = Annotated[Path, typer.Argument(metavar="DIR", help="Measured rows, as 'irene collect' writes them.")]


def collect_rows(
    plan: Annotated[Path, typer.Option("--plan", metavar="PLAN", help="What to measure.")],
    output: Annotated[
        Path, typer.Option("--output", metavar="DIR", help="Where the rows go; an unfinished run goes on.")
    ],
) -> None:
    """Measure the cases of a plan on this machine's GPU; resumable."""
    from irene.measuring import collect

    collect(plan, output)


def train_bundle(
    dataset: Dataset,
    output: Annotated[Path, typer.Option("--output", metavar="BUNDLE", help="Where the predictor goes.")],
) -> None:
    """Fit a predictor on measured rows and save it."""
    from irene.predictor import train

    train(dataset, output)


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
    return None if value != value else value
