"""Options that several commands share: their spelling, their checks, and what a saved tree makes of them."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from irene.errors import BadInput, UnknownName

if TYPE_CHECKING:
    from irene.model_tree.tree import ModelTree, Workload

FORMATS = ("table", "json", "csv")

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="A bundled name ('irene models' lists them), a Hugging Face id, a directory with config.json, "
        "a config.json, or a tree saved by 'irene tree --format json'.",
    ),
]
Task = Annotated[
    str | None,
    typer.Option("--task", show_default="base", help="base, causal-lm, masked-lm, seq2seq-lm, ..."),
]
BatchSize = Annotated[int | None, typer.Option("--batch-size", show_default="1", help="Inputs in one batch.")]
SeqLen = Annotated[int | None, typer.Option("--seq-len", show_default="128", help="Tokens in each input.")]
DecoderSeqLen = Annotated[
    int | None, typer.Option("--decoder-seq-len", show_default="seq-len", help="Tokens of a decoder.")
]
Dtype = Annotated[
    str | None, typer.Option("--dtype", show_default="bfloat16", help="bfloat16, float16, float32 or tf32.")
]
Execution = Annotated[
    str | None, typer.Option("--execution", show_default="eager", help="eager, or cuda_graph (no host waits).")
]
NewTokens = Annotated[int | None, typer.Option("--new-tokens", show_default="0", help="Tokens to generate.")]
Device = Annotated[str, typer.Option("--device", help="The accelerator; 'irene devices' lists them.")]
Format = Annotated[str, typer.Option("--format", help="table, json or csv.")]
Depth = Annotated[int | None, typer.Option("--depth", show_default="3", help="Levels of the tree in the table.")]
Predictor = Annotated[
    str | None, typer.Option("--predictor", metavar="BUNDLE", help="A bundle written by 'irene train'.")
]
CarbonIntensity = Annotated[
    str | None,
    typer.Option("--carbon-intensity", metavar="GRAMS|CODE", help="gCO2e per kWh, or a country's code such as FR."),
]
Price = Annotated[float | None, typer.Option("--price", help="Price of a kWh, in any currency.")]
Pue = Annotated[
    float | None, typer.Option("--pue", show_default="1", help="Energy of the data centre over that of its computers.")
]
Output = Annotated[Path | None, typer.Option("--output", help="Write there instead of to standard output.")]


@dataclass(frozen=True, slots=True)
class WorkloadOptions:
    """The workload as it was typed: `None` where nothing was said."""

    task: str | None = None
    batch_size: int | None = None
    seq_len: int | None = None
    decoder_seq_len: int | None = None
    dtype: str | None = None
    execution: str | None = None
    new_tokens: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("seq_len", 1), ("decoder_seq_len", 1), ("new_tokens", 0)):
            require_at_least(name, getattr(self, name), least)

    @property
    def given(self) -> dict[str, Any]:
        """Only what was typed; the defaults are those of the functions that get it."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) is not None}

    def warn_if_not_used(self, workload: Workload, *, saved: bool) -> None:
        """Say on stderr which typed options differ from the workload that was traced."""
        for name, value in self.given.items():
            used = getattr(workload, name)
            if value == used:
                continue
            if saved:
                warnings.warn(f"{flag(name)} {value} is ignored: the saved tree was traced with {used}.", stacklevel=2)
            elif used is None:
                warnings.warn(f"{flag(name)} {value} is ignored: this model's config fixes its input.", stacklevel=2)


def flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def require_at_least(name: str, value: int | None, least: int) -> None:
    """Raise `BadInput` for a number below `least`."""
    if value is not None and value < least:
        raise BadInput(f"{flag(name)} must be at least {least}, got {value}.")


def require_format(name: str, known: Collection[str] = FORMATS) -> None:
    if name not in known:
        raise UnknownName("format", name, known)


def load_if_saved(model: str) -> ModelTree | None:
    """The tree, if MODEL is the path of a saved one; needs no torch."""
    from irene.model_tree.serialization import is_saved_tree, load_tree

    return load_tree(model) if is_saved_tree(model) else None
