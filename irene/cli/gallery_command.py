"""The command that writes a site of many models: `irene gallery`."""

from __future__ import annotations

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irene.cli import options as opt
from irene.cli.output import make_folder, say, write_output
from irene.default_device import DEFAULT_DEVICE
from irene.errors import BadInput, IreneError

if TYPE_CHECKING:
    from irene.explanation.explanation import Explanation
    from irene.predictor.prediction import Prediction

WORKLOADS: dict[str, dict[str, Any]] = {
    "one input": {"batch_size": 1},
    "batch of 32": {"batch_size": 32},
    "batch of 32, captured": {"batch_size": 32, "execution": "cuda_graph"},
}
"""What every model is asked, whatever it reads; text has 128 tokens, or as many as the model has positions for."""


def write_gallery(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="MODEL...", help="As for 'irene predict'; without any, all bundled ones."),
    ] = None,
    device: opt.Device = DEFAULT_DEVICE,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="The folder of the site.")] = Path("gallery"),
) -> None:
    """A static site: many models at three workloads, to sort and filter."""
    from tqdm import tqdm

    from irene.hardware.devices import load_device
    from irene.reporting.export import rows_to_csv
    from irene.reporting.gallery import GalleryRow, gallery_row, name_files, render_gallery
    from irene.reporting.report_page import render_report
    from irene.tracing.bundled_models import list_bundled

    spec = load_device(device)
    names = list(dict.fromkeys(models or [model.name for model in list_bundled()]))
    files = name_files(names)
    rows: list[GalleryRow] = []
    failed: list[tuple[str, str]] = []
    for name in tqdm(names, unit="model", disable=None):
        try:
            explained = _explain_each(name, device)
        except IreneError as problem:  # said on the page; the others go on
            failed.append((name, str(problem)))
            say(f"Warning: {name}: {problem}")
            continue
        make_folder(output / "models")  # not before there is something to write
        report = f"models/{files[name]}.html"
        found = {words: prediction for words, (prediction, _) in explained.items()}
        whys = {words: why for words, (_, why) in explained.items()}
        write_output(render_report(found, explanations=whys), output / report)
        rows += [gallery_row(name, asked, prediction, report) for asked, prediction in found.items()]
    if not rows:
        raise BadInput(f"None of {len(names)} models could be predicted; the first: {failed[0][1]}")
    write_output(rows_to_csv([asdict(row) for row in rows]), output / "gallery.csv")
    write_output(render_gallery(rows, spec.title, failed), output / "index.html")
    say(f"Wrote {output / 'index.html'}: {len(rows)} rows, {len(names) - len(failed)} reports, {len(failed)} failed.")


def _explain_each(name: str, device: str) -> dict[str, tuple[Prediction, Explanation]]:
    """The predictions of a model by the words for their workload, and what a change would do to each."""
    from irene.explanation.explaining import add_counterfactuals, explain_prediction
    from irene.predictor import predict
    from irene.predictor.reading import read_model

    model = read_model(name)
    found = {}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*do not fit into")  # the table says so
        for words, asked in WORKLOADS.items():
            prediction = predict(model, device=device, **asked)
            why = add_counterfactuals(explain_prediction(prediction), prediction, model, device=device)
            found[words] = prediction, why
    return found
