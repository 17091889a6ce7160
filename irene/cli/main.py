"""The `irene` command: its sub-commands, and what every error looks like to the user.

Exit codes: 0 ok, 2 bad usage or bad input (one line on stderr), 1 internal error. Commands import what they need when
they run: torch, transformers, scikit-learn, xgboost and pandas cost seconds that `irene --help` must not pay.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from irene import __version__
from irene.cli import (
    data_commands,
    explain_commands,
    irene_2021_commands,
    listing_commands,
    model_commands,
    report_commands,
    sweep_command,
)
from irene.errors import IreneError

app = typer.Typer(
    name="irene",
    help="Predict how many joules a Transformer uses, and see where they go, without the hardware.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("predict")(model_commands.print_prediction)
app.command("explain")(explain_commands.print_explanation)
app.command("compare")(explain_commands.print_comparison)
app.command("sweep")(sweep_command.print_sweep)
app.command("report")(report_commands.write_report)
app.command("tree")(model_commands.print_tree)
app.command("models")(listing_commands.print_models)
app.command("devices")(listing_commands.print_devices)
app.command("env")(listing_commands.print_environment)
app.command("collect")(data_commands.collect_rows)
app.command("train")(data_commands.train_bundle)
app.command("evaluate")(data_commands.print_evaluation)
app.add_typer(irene_2021_commands.app, name="irene-2021")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"irene {__version__}")
        raise typer.Exit


@app.callback()
def _describe(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Predict how many joules a Transformer uses, and see where they go, without the hardware."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning  # type: ignore[assignment]  # the stubs want all six names
        try:
            code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
            return code if isinstance(code, int) else 0
        except IreneError as error:
            return _fail(str(error), 2)
        except KeyboardInterrupt:
            return _fail("interrupted.", 130)
        except Exception as error:
            return _fail_on(error)


def main() -> None:
    """Entry point of the `irene` script."""
    sys.exit(run())


def _fail_on(error: Exception) -> int:
    # Usage errors are known by what they can do, not by class: typer brings its own copy of click in newer versions.
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        traceback.print_exc()
        return _fail(f"internal, a bug in irene: {type(error).__name__}: {error}. Please report the lines above.", 1)
    message = str(format_message()).strip()
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message, file=sys.stderr)
        return 2
    command = getattr(getattr(error, "ctx", None), "command_path", None) or "irene"
    return _fail(f"{message.rstrip('.')}. See '{command} --help'.", 2)


def _fail(message: str, code: int) -> int:
    print("Error: " + " ".join(message.split()), file=sys.stderr)
    return code


def _show_warning(message: Warning | str, category: type[Warning], *_: Any) -> None:
    if not issubclass(category, (FutureWarning, DeprecationWarning, PendingDeprecationWarning)):
        print("Warning: " + " ".join(str(message).split()), file=sys.stderr)


if __name__ == "__main__":
    main()
