"""The command `irene bench`: the Efficiency Pentathlon of models, predicted or measured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irene.cli import options as opt
from irene.cli.output import make_folder, stdout_is_terminal, write_output
from irene.default_device import DEFAULT_DEVICE
from irene.errors import BadInput

if TYPE_CHECKING:
    from irene.reporting.footprint import Facility
    from irene.scenarios.pentathlon import Pentathlon
    from irene.scenarios.streams import Scenario

_OF_A_STREAM = ("batch_size", "seq_len", "new_tokens", "context_len", "cache", "cache_len")
_OWN = ("dtype", "task", "execution", "decoder_seq_len", "images", "device", "predictor")

Models = Annotated[
    list[str] | None, typer.Argument(metavar="[MODEL...]", help="Models as for 'irene predict'; several are compared.")
]
Scenarios = Annotated[
    list[str] | None,
    opt.defaulting(
        "--scenario",
        to="fixed_batch",
        help="fixed_batch, poisson_batch, single_stream, offline or poisson_arrivals; several times if you like.",
    ),
]
Instances = Annotated[int | None, opt.defaulting("--instances", help="How many in all.", to="as published")]
BatchSize = Annotated[
    int | None, opt.defaulting("--batch-size", help="Of a batch, its mean, or the most together.", to="128")
]
Rate = Annotated[float | None, typer.Option("--rate", help="Instances that come in a second (poisson_arrivals).")]
Window = Annotated[float, typer.Option("--window", metavar="SECONDS", help="How long a batch waits for more.")]
Lengths = Annotated[
    str, typer.Option("--lengths", metavar="SPEC", help="Tokens: 128, uniform:16:512, lognormal:90:0.6:512, or a file.")
]
NewLengths = Annotated[
    str, typer.Option("--new-lengths", metavar="SPEC", help="Tokens to generate, written as --lengths.")
]
PadTo = Annotated[int, typer.Option("--pad-to", help="Pad batches up to a multiple of so many tokens.")]
Seed = Annotated[int, typer.Option("--seed", help="Of the draws.")]
Measure = Annotated[
    bool, typer.Option("--measure", help="Measure here. MODEL may also be a function, as module:function.")
]
Programs = Annotated[
    list[str] | None,
    typer.Option("--program", metavar="COMMAND", help="Measure a program that speaks the Pentathlon's protocol."),
]
TimeLimit = Annotated[
    float | None, typer.Option("--time-limit", metavar="SECONDS", min=0, help="Begin no batch after so long.")
]
ReplyLimit = Annotated[
    float,
    typer.Option("--reply-limit", metavar="SECONDS", min=0, help="For each reply; for the first, a minute at least."),
]
AtLeast = Annotated[
    float | None,
    opt.defaulting("--at-least", metavar="SECONDS", min=0, to="2 if metered", help="Repeat a short stream."),
]
Keep = Annotated[
    Path | None,
    typer.Option("--keep", metavar="DIR", help="A file for each that is measured; started again, it goes on."),
]
Figure = Annotated[Path | None, typer.Option("--figure", metavar="FILE", help="Also draw it: a .png or .svg file.")]


@partial(opt.takes_workload, without=(*_OF_A_STREAM, "gpus"))
def print_pentathlon(
    workload: opt.WorkloadOptions,
    models: Models = None,
    scenario: Scenarios = None,
    instances: Instances = None,
    batch_size: BatchSize = None,
    rate: Rate = None,
    window: Window = 0.0,
    lengths: Lengths = "128",
    new_lengths: NewLengths = "",
    pad_to: PadTo = 1,
    seed: Seed = 42,
    measure: Measure = False,
    program: Programs = None,
    time_limit: TimeLimit = None,
    reply_limit: ReplyLimit = 600.0,
    at_least: AtLeast = None,
    keep: Keep = None,
    device: opt.Device = DEFAULT_DEVICE,
    dequantized: opt.Dequantized = False,
    predictor: opt.Predictor = None,
    carbon_intensity: opt.CarbonIntensity = None,
    price: opt.Price = None,
    pue: opt.Pue = None,
    figure: Figure = None,
    file_format: opt.Format = "table",
    output: opt.Output = None,
) -> None:
    """The Efficiency Pentathlon: five metrics of streams of requests.

    Throughput, latency, memory, energy and size.
    """
    opt.require_format(file_format)
    from irene.reporting.footprint import read_facility

    facility = read_facility(carbon_intensity, price, pue)
    scenarios = read_scenarios(scenario, instances, batch_size, rate, window, seed)
    if measure or program:
        from irene.cli.bench_measuring import Case, measure_cases, open_model, open_program

        if new_lengths:
            raise BadInput("--new-lengths: generations are predicted; measured are forward passes.")
        cases = []
        for one in scenarios:
            for given in models or []:
                model, own = _read_model(given, dict(workload.given))
                detail = "-".join(map(str, (*own.values(), *([pad_to] if pad_to > 1 else []))))
                cases.append(Case(model, one, *open_model(model, own, pad_to, reply_limit), detail))
            cases += [Case(command, one, open_program(command, reply_limit)) for command in program or []]
        _require_any(cases)
        limit_s = float("inf") if time_limit is None else time_limit
        found, status = measure_cases(
            cases, lengths=lengths, pad_to=pad_to, limit_s=limit_s, least_s=at_least, keep=keep
        )
        if found:
            _write(found, facility, file_format, output, figure)
        raise typer.Exit(status)
    _require_any(models)
    shared = {**workload.given, "device": device, "predictor": predictor, "dequantized": dequantized}
    stream = {"lengths": lengths, "new_lengths": new_lengths, "pad_to": pad_to}
    _write(predict_streams(scenarios, models or [], shared, stream), facility, file_format, output, figure)


def predict_streams(
    scenarios: Sequence[Scenario], models: Sequence[str], shared: dict[str, Any], stream: dict[str, Any]
) -> list[Pentathlon]:
    """Every model in every scenario; a model's own settings go over the `shared` ones."""
    from irene.scenarios.predicting import predict_pentathlon

    asked = [(one, *_read_model(given, shared)) for one in scenarios for given in models]
    return [predict_pentathlon(model, one, **stream, **own) for one, model, own in asked]


def _require_any(given: Sequence[object] | None) -> None:
    if not given:
        raise BadInput("irene bench needs a model: a name, a config or a path; or, with --measure, a --program.")


def read_scenarios(
    names: list[str] | None, instances: int | None = None, batch_size: int | None = None, rate: float | None = None,
    window_s: float = 0.0, seed: int = 42,
) -> list[Scenario]:  # fmt: skip
    """The scenarios by name, each with the numbers that are of it."""
    from irene.scenarios.streams import Scenario

    found = []
    for name in dict.fromkeys(names or ["fixed_batch"]):
        is_open, is_alone = name == "poisson_arrivals", len(names or ()) < 2
        own: dict[str, Any] = {"rate_per_s": rate, "window_s": window_s} if is_open or is_alone else {}
        size = batch_size if is_alone or name != "single_stream" else None
        found.append(Scenario(name=name, instances=instances, batch_size=size, seed=seed, **own))
    return found


def _read_model(given: str, shared: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A model with its own settings over the shared ones."""
    from irene.cli.predicting import read_settings

    model, own = (given, {}) if Path(given).expanduser().exists() else read_settings(given)
    shared = {name: value for name, value in shared.items() if name not in _OF_A_STREAM}
    for name in own:
        if name not in _OWN:
            raise BadInput(f"{given!r}: {name.replace('_', '-')} is of the stream, which all models share.")
    return model, {**shared, **own}


def _write(
    found: list[Pentathlon], facility: Facility | None, file_format: str, output: Path | None, figure: Path | None
) -> None:
    if figure is not None:
        from irene.reporting.pentathlon_figure import draw_pentathlons

        make_folder(figure.parent)
        draw_pentathlons(found, figure)
    if file_format == "json":
        text = json.dumps({"schema_version": 1, "entries": [_to_json(one, facility) for one in found]})
    elif file_format == "csv":
        from irene.reporting.export import rows_to_csv
        from irene.reporting.pentathlon_table import pentathlon_rows

        text = rows_to_csv(list(pentathlon_rows(found)))
    else:
        from irene.reporting.pentathlon_table import pentathlon_table
        from irene.reporting.rendering import render

        text = render(pentathlon_table(found, facility), to_terminal=output is None and stdout_is_terminal())
    write_output(text, output)


def _to_json(one: Pentathlon, facility: Facility | None) -> dict[str, Any]:
    data, energy_j = one.to_json(), one.value("energy_j")
    if facility is not None and energy_j is not None:
        from irene.reporting.footprint import footprint_of

        used = footprint_of(energy_j, facility)
        data["footprint"] = {**asdict(facility), **asdict(used)}
        data["pentathlon"]["carbon"] = None if used.carbon_g is None else used.carbon_g / 1000.0
    return data
