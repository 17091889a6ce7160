"""Commands of `irene irene-2021`: the paper's method on files of its trees, one for each of the authors' scripts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irene.cli import options as opt
from irene.cli.examples import example_of
from irene.cli.output import list_as, make_folder, write_output

if TYPE_CHECKING:
    from irene.irene_2021.settings import Settings

app = typer.Typer(
    rich_markup_mode=None,
    help="The method of the IrEne paper (ACL 2021) on its own files.",
)
Trees = Annotated[Path, typer.Argument(metavar="TREES", help="Trees as JSON lines, plain or gzip.")]
SettingsFile = Annotated[
    Path | None,
    opt.defaulting("--settings", metavar="FILE", help="TOML, or the authors' JSON config.", to="the paper's"),
]


@app.command("train", epilog=example_of("irene-2021 train"))
def train_estimator(
    trees: Trees,
    output: Annotated[Path, typer.Option("--output", metavar="MODEL", help="Where the fitted model goes (JSON).")],
    settings: SettingsFile = None,
    seed: Annotated[int, typer.Option("--seed", help="Draws the starting weights.")] = 0,
) -> None:
    """Fit on trees of which every node was measured."""
    chosen = _load_settings(settings)

    from irene.irene_2021.estimator import Irene2021
    from irene.irene_2021.node_table import tabulate_nodes
    from irene.irene_2021.saving import save_estimator
    from irene.irene_2021.tree_files import load_trees

    make_folder(output.parent)
    save_estimator(Irene2021(chosen, seed).fit(tabulate_nodes(load_trees(trees))), output)


@app.command("predict", epilog=example_of("irene-2021 predict"))
def predict_trees(
    trees: Trees,
    model: Annotated[Path, typer.Option("--model", metavar="MODEL", help="What 'irene irene-2021 train' wrote.")],
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="The trees again, with predictions.")],
) -> None:
    """Write the trees with `predicted_energy` in every node."""
    from irene.irene_2021.node_table import tabulate_nodes
    from irene.irene_2021.saving import load_estimator
    from irene.irene_2021.tree_files import load_trees, save_trees, with_predictions

    estimator = load_estimator(model)
    read = load_trees(trees, features=estimator.settings.node_features, measured=False)
    make_folder(output.parent)
    save_trees(with_predictions(read, estimator.predict(tabulate_nodes(read)).tolist()), output)


@app.command("evaluate", epilog=example_of("irene-2021 evaluate"))
def print_errors(
    truth: Annotated[Path, typer.Argument(metavar="TRUTH", help="Trees with measured energies.")],
    predictions: Annotated[Path, typer.Argument(metavar="PREDICTIONS", help="The same trees with predictions.")],
) -> None:
    """Mean absolute percentage error by level, as JSON."""
    from irene.irene_2021.judging import compare_files

    errors = compare_files(truth, predictions)
    write_output(json.dumps({level: round(error, 2) for level, error in errors.items()}, indent=2), None)


@app.command("crossvalidate", epilog=example_of("irene-2021 crossvalidate"))
def print_crossvalidation(
    trees: Trees,
    settings: SettingsFile = None,
    seeds: Annotated[int, typer.Option("--seeds", help="Repeat with this many seeds: the model level moves.")] = 5,
    leave_out: Annotated[str, typer.Option("--leave-out", help="model or family.")] = "model",
    file_format: opt.Format = "table",
    output: opt.Output = None,
) -> None:
    """Errors on models, or families of models, that training never saw: mean and range over seeds."""
    opt.require_format(file_format)
    opt.require_at_least("seeds", seeds, 1)
    chosen = _load_settings(settings)

    from irene.irene_2021.estimator import STAND_INS, Irene2021
    from irene.irene_2021.judging import crossvalidate, summarise_seeds
    from irene.irene_2021.node_table import tabulate_nodes
    from irene.irene_2021.tree_files import load_trees

    table = tabulate_nodes(load_trees(trees))
    errors = crossvalidate(table, leave_out, lambda seed: Irene2021(chosen, seed, STAND_INS), range(seeds))
    records = summarise_seeds(errors).reset_index().round(2).to_dict(orient="records")
    rows = [{str(name): value for name, value in record.items()} for record in records]
    if file_format == "table":
        rows = [_shorten_ranges(row) for row in rows]
    write_output(list_as(rows, file_format, rows[0]), output)


def _shorten_ranges(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row for people: one column a level, "mean (least to largest)" in per cent."""
    levels = [name.removesuffix("_mean_pct") for name in row if name.endswith("_mean_pct")]
    ranges = {
        f"{level} %": f"{row[f'{level}_mean_pct']:.2f} ({row[f'{level}_min_pct']:.2f} to {row[f'{level}_max_pct']:.2f})"
        for level in levels
    }
    return {"left out": str(row["left_out"]), **ranges}


def _load_settings(path: Path | None) -> Settings:
    from irene.irene_2021.settings import Settings, load_settings

    return Settings() if path is None else load_settings(path)
