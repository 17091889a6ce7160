"""The `irene` command: its sub-commands, and what every error looks like to the user.

Exit codes: 0 ok, 2 bad usage or bad input (one line on stderr), 1 a failure at run time (a full disk, a lost meter: one
line; a bug: a traceback). Commands import what they need when
they run: torch, transformers, scikit-learn, xgboost and pandas cost seconds that `irene --help` must not pay.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from irene.cli import (
    bench_command,
    data_commands,
    explain_commands,
    gallery_command,
    irene_2021_commands,
    listing_commands,
    model_commands,
    report_commands,
    sweep_command,
    web_command,
)
from irene.cli.examples import example_of
from irene.cli.output import drop_stdout, prepare_streams, say
from irene.errors import IreneError, MeterLost, NoSpace, ProgramFailed, RankDied
from irene.files import cannot_write
from irene.quoting import quote
from irene.tracing.keeping import keep_trees
from irene.version import __version__

_LIBRARIES = ("TRANSFORMERS", "HF_HUB", "DATASETS")
_OF_A_PATH = (errno.ENAMETOOLONG, errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS)

app = typer.Typer(
    name="irene",
    help="Predict how many joules a Transformer uses, and see where they go, without the hardware.",
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("predict", epilog=example_of("predict"))(model_commands.print_prediction)
app.command("explain", epilog=example_of("explain"))(explain_commands.print_explanation)
app.command("compare", epilog=example_of("compare"))(explain_commands.print_comparison)
app.command("sweep", epilog=example_of("sweep"))(sweep_command.print_sweep)
app.command("bench", epilog=example_of("bench"))(bench_command.print_pentathlon)
app.command("report", epilog=example_of("report"))(report_commands.write_report)
app.command("gallery", epilog=example_of("gallery"))(gallery_command.write_gallery)
app.command("web", epilog=example_of("web"))(web_command.serve_web)
app.command("tree", epilog=example_of("tree"))(model_commands.print_tree)
app.command("models", epilog=example_of("models"))(listing_commands.print_models)
app.command("devices", epilog=example_of("devices"))(listing_commands.print_devices)
app.command("variants", epilog=example_of("variants"))(listing_commands.print_variants)
app.command("env", epilog=example_of("env"))(listing_commands.print_environment)
app.command("collect", epilog=example_of("collect"))(data_commands.collect_rows)
app.command("calibrate", epilog=example_of("calibrate"))(data_commands.calibrate_device)
app.command("train", epilog=example_of("train"))(data_commands.train_bundle)
app.command("evaluate", epilog=example_of("evaluate"))(data_commands.print_evaluation)
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
    prepare_streams()
    for library in _LIBRARIES:  # their own log lines would stand before our one line; they ask for it at import
        os.environ.setdefault(f"{library}_VERBOSITY", "critical")
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning  # type: ignore[assignment]  # the stubs want all six names
        if any(option.startswith("e") for option in sys.warnoptions):  # python -W error: ours are for people to read
            warnings.simplefilter("default")
        try:
            given = None if arguments is None else list(arguments)
            code = app(args=given, prog_name="irene", standalone_mode=False)
            if sys.stdout is not None:
                sys.stdout.flush()
            return code if isinstance(code, int) else 0
        except IreneError as error:
            return _fail(str(error), 1 if isinstance(error, (NoSpace, MeterLost, ProgramFailed, RankDied)) else 2)
        except KeyboardInterrupt:
            return _fail("interrupted.", 130)
        except OSError as error:
            return _fail_on_system(error)
        except Exception as error:
            return _fail_on(error)


def main() -> None:
    """Entry point of the `irene` script."""
    keep_trees(True)
    sys.exit(run())


def _fail_on_system(error: OSError) -> int:
    """A full disk, a reader that left, a name that no file can have: wherever a library met it, it is no bug."""
    drop_stdout()
    if isinstance(error, BrokenPipeError):
        return 0
    if isinstance(failed := cannot_write(error.filename or "the output", error), NoSpace):
        return _fail(str(failed), 1)
    if error.errno in _OF_A_PATH and error.filename is not None:
        return _fail(f"Cannot open {quote(os.fsdecode(error.filename), 200)}: {error.strerror}. Name another file.", 2)
    return _fail_on(error)


def _fail_on(error: Exception) -> int:
    # Usage errors are known by what they can do, not by class: typer brings its own copy of click in newer versions.
    format_message = getattr(error, "format_message", None)
    if format_message is None:
        if sys.stderr is not None:
            traceback.print_exc()
        return _fail(f"internal, a bug in irene: {type(error).__name__}: {error}. Please report the lines above.", 1)
    message = str(format_message()).strip()
    if type(error).__name__ == "NoArgsIsHelpError":
        print(message, file=sys.stderr)
        return 2
    command = getattr(getattr(error, "ctx", None), "command_path", None) or "irene"
    return _fail(f"{message.rstrip('.')}. See '{command} --help'.", 2)


def _fail(message: str, code: int) -> int:
    say(f"Error: {message}")
    return code


def _show_warning(message: Warning | str, category: type[Warning], filename: str, *_: Any) -> None:
    foreign = {part.upper() for part in Path(filename).parts} & {*_LIBRARIES, "TORCH", "HUGGINGFACE_HUB", "XGBOOST"}
    if not foreign and not issubclass(category, (FutureWarning, DeprecationWarning, PendingDeprecationWarning)):
        say(f"Warning: {message}")


if __name__ == "__main__":
    main()
