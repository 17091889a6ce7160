"""Options that several commands share: their spelling, their checks, and what a saved tree makes of them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irene.errors import BadInput, UnknownName
from irene.tracing.keeping import keep_trees

if TYPE_CHECKING:
    from irene.model_tree.workload import Workload

FORMATS = ("table", "json", "csv")


def defaulting(*names: str, to: str, help: str, **more: Any) -> Any:  # as typer calls it
    """An option that is None where it is not typed, with a help that says what is then done as typer says defaults."""
    return typer.Option(*names, show_default=False, help=f"{help}  [default: {to}]", **more)


def complete_model(typed: str) -> list[str]:
    """Bundled names that begin so, for the shell."""
    from irene.tracing.bundled_models import list_bundled

    names = (name for model in list_bundled() for name in (model.name, *model.aliases))
    return sorted(name for name in names if name.startswith(typed))


def complete_device(typed: str) -> list[str]:
    """Devices that begin so, for the shell."""
    from irene.hardware.devices import list_devices

    return [name for name in list_devices() if name.startswith(typed)]


Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        autocompletion=complete_model,
        help="A bundled name ('irene models' lists them), a Hugging Face id, a directory with config.json, "
        "a config.json, or a tree saved by 'irene tree --format json'; after it +variant:value ('irene variants').",
    ),
]
Task = Annotated[
    str | None,
    defaulting(
        "--task",
        help="base, causal-lm, masked-lm, seq2seq-lm, ..., or the Hub's name: text-generation, fill-mask, ...",
        to="base",
    ),
]
BatchSize = Annotated[int | None, defaulting("--batch-size", help="Inputs in one batch.", to="1")]
SeqLen = Annotated[int | None, defaulting("--seq-len", help="Tokens in each input.", to="128, or all positions")]
DecoderSeqLen = Annotated[int | None, defaulting("--decoder-seq-len", help="Tokens of a decoder.", to="seq-len")]
Dtype = Annotated[str | None, defaulting("--dtype", help="bfloat16, float16, float32 or tf32.", to="bfloat16")]
Execution = Annotated[str | None, defaulting("--execution", help="eager, or cuda_graph (no host waits).", to="eager")]
NewTokens = Annotated[
    int | None, defaulting("--new-tokens", help="Tokens to generate, the prefill's among them.", to="0")
]
ContextLen = Annotated[
    int | None, defaulting("--context-len", help="Tokens that are in the key-value cache already.", to="0")
]
Cache = Annotated[
    str | None, defaulting("--cache", help="Key-value cache: dynamic (it grows) or static.", to="dynamic")
]
CacheLen = Annotated[
    int | None, defaulting("--cache-len", help="Tokens a static cache has room for.", to="what is needed")
]
Gpus = Annotated[int | None, defaulting("--gpus", help="GPUs of a host that share the model, tensor parallel.", to="1")]
ExpertRouting = Annotated[
    str | None,
    defaulting(
        "--expert-routing",
        help="Tokens of each expert: balanced, zipf:S (zipf:0 is at random), or a JSON file of counts.",
        to="balanced",
    ),
]
Images = Annotated[int | None, defaulting("--images", help="Images a sample, of a model of images and text.", to="1")]
Dequantized = Annotated[
    bool, typer.Option("--dequantized", help="Price the dense twin of a checkpoint whose weights are quantised.")
]
Device = Annotated[
    str, typer.Option("--device", autocompletion=complete_device, help="The accelerator; 'irene devices' lists them.")
]
SmClockMhz = Annotated[
    float | None,
    defaulting("--sm-clock-mhz", help="The clock that the GPU is locked at.", to="not locked"),
]
CardFactor = Annotated[
    float,
    typer.Option("--card-factor", help="What this board draws over what is predicted: 'irene collect --reference'."),
]
Format = Annotated[str, typer.Option("--format", help="table, json or csv.")]
Counterfactuals = Annotated[
    bool, typer.Option("--counterfactuals/--no-counterfactuals", help="Predict again with one thing changed.")
]
Depth = Annotated[int | None, defaulting("--depth", help="Levels of the tree in the table.", to="3")]
Predictor = Annotated[
    str | None, typer.Option("--predictor", metavar="BUNDLE", help="What 'irene train' or 'irene calibrate' wrote.")
]
CarbonIntensity = Annotated[
    str | None,
    typer.Option("--carbon-intensity", metavar="GRAMS|CODE", help="gCO2e per kWh, or a country's code such as FR."),
]
Price = Annotated[float | None, typer.Option("--price", help="Price of a kWh, in any currency.")]
Pue = Annotated[float | None, defaulting("--pue", help="Energy of the data centre over that of its computers.", to="1")]
Output = Annotated[Path | None, typer.Option("--output", help="Write there instead of to standard output.")]

TreeCache = Annotated[
    bool, typer.Option("--tree-cache/--no-tree-cache", help="Find the tree of a question that was asked before.")
]

_OF_A_WORKLOAD: dict[str, Any] = {
    "dtype": Dtype, "batch_size": BatchSize, "seq_len": SeqLen, "decoder_seq_len": DecoderSeqLen, "task": Task,
    "execution": Execution, "new_tokens": NewTokens, "images": Images, "context_len": ContextLen, "cache": Cache,
    "cache_len": CacheLen, "gpus": Gpus, "expert_routing": ExpertRouting,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WorkloadOptions:
    """What was typed of a workload, by name; the rest has the defaults of the function that gets it."""

    given: Mapping[str, Any]

    def __post_init__(self) -> None:
        from irene.model_tree.workload import check_sizes  # numpy: not for `--help`

        check_sizes(self.given, prefix="--", joint="-")

    def warn_if_not_used(self, workload: Workload, *, saved: bool) -> None:
        """Say on stderr which typed options differ from the workload that was traced."""
        from irene.model_tree.expert_routing import read_routing
        from irene.model_tree.workload import read_task

        read = {"task": read_task, "expert_routing": read_routing}
        for name, value in self.given.items():
            used = getattr(workload, name)
            if value == used or (name in read and read[name](value) == used):
                continue
            if saved:
                warnings.warn(f"{flag(name)} {value} is ignored: the saved tree was traced with {used}.", stacklevel=2)
            elif used is None:
                warnings.warn(f"{flag(name)} {value} is ignored: this model's config fixes its input.", stacklevel=2)


def takes_workload(command: Callable[..., None], without: Collection[str] = ()) -> Callable[..., None]:
    """The command with the options of a workload in the place of its parameter `workload`, a `WorkloadOptions`.

    `without` names the options that the command does not have, or has of its own.
    """
    names = [name for name in _OF_A_WORKLOAD if name not in without]

    @wraps(command)
    def command_with_options(**typed: Any) -> None:
        if not typed.pop("tree_cache"):
            keep_trees(False)
        given = {name: typed.pop(name) for name in names}
        command(**typed, workload=WorkloadOptions({n: value for n, value in given.items() if value is not None}))

    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name == "workload":
            kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
            parameters += [inspect.Parameter(n, kind, default=None, annotation=_OF_A_WORKLOAD[n]) for n in names]
            parameters.append(inspect.Parameter("tree_cache", kind, default=True, annotation=TreeCache))
        else:
            parameters.append(parameter)
    command_with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command_with_options.__annotations__ = {p.name: p.annotation for p in parameters}  # both are what typer reads
    return command_with_options


def read_board(device: str, sm_clock_mhz: float | None, card_factor: float) -> dict[str, Any]:
    """What was typed of a device, by the names of `irene.predict`; a wrong name is said before seconds of tracing."""
    from irene.hardware.devices import load_device

    load_device(device)
    sm_clock_hz = None if sm_clock_mhz is None else sm_clock_mhz * 1e6
    return {"device": device, "sm_clock_hz": sm_clock_hz, "card_factor": card_factor}


def flag(name: str) -> str:
    """How a parameter is typed: `batch_size` is `--batch-size`."""
    return "--" + name.replace("_", "-")


def require_at_least(name: str, value: int | None, least: int) -> None:
    """Raise `BadInput` for a number below `least`."""
    if value is not None and value < least:
        raise BadInput(f"{flag(name)} must be at least {least}, got {value}.")


def require_format(name: str, known: Collection[str] = FORMATS) -> None:
    """Raise `UnknownName` for a format that is none of `known`."""
    if name not in known:
        raise UnknownName("format", name, known)
