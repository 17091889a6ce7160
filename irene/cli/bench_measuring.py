"""What `irene bench --measure` does: servers from arguments, counters, a bar, and files of what is finished."""

from __future__ import annotations

import json
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from irene.cli.output import make_folder, say
from irene.errors import BadInput, IreneError
from irene.files import write_whole

if TYPE_CHECKING:
    from irene.scenarios.pentathlon import Pentathlon
    from irene.scenarios.servers import Server
    from irene.scenarios.streams import Scenario

Opening = Callable[[], "Server"]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to measure in one scenario: `opening` builds it when it is its turn; `rows` inputs share one.

    `detail` tells it from others of its name, in the name of its file.
    """

    name: str
    scenario: Scenario
    opening: Opening
    rows: int = 1
    detail: str = ""


def open_program(command: str, reply_limit_s: float) -> Opening:
    """A program by its command line. Raises BadInput for quotes that do not close."""
    from irene.scenarios.stdio_program import StdioProgram

    try:
        words = shlex.split(command)
    except ValueError as problem:
        raise BadInput(f"--program {command!r}: {problem}.") from None
    return lambda: StdioProgram(words, reply_limit_s=reply_limit_s)


def open_model(name: str, settings: Mapping[str, Any], pad_to: int, reply_limit_s: float) -> tuple[Opening, int]:
    """A transformers model by name, or a function as `module:function`; and how many inputs share a row."""
    from irene.scenarios.callables import CallableServer, is_callable_name

    if is_callable_name(name) and not Path(name).exists():
        return lambda: CallableServer(name, reply_limit_s=reply_limit_s), 1
    from irene.model_tree.workload import Workload
    from irene.scenarios.model_server import ModelServer
    from irene.tracing.sources import load_config
    from irene.variants.multiplexing import inputs_a_row

    rows = inputs_a_row(load_config(name))
    workload = Workload(**settings)
    return lambda: ModelServer(name, workload, pad_to=pad_to, rows=rows), rows


def measure_cases(
    cases: Sequence[Case], *, lengths: str, pad_to: int, limit_s: float, least_s: float | None, keep: Path | None
) -> tuple[list[Pentathlon], int]:
    """Measure case after case; what fails is said and does not stop the others. Returns what there is, and a status.

    With `keep`, each case has a file there, written as it is finished; one that is there whole is not measured again.
    A single case that is bad input is raised as it is.
    """
    from irene.measuring.machine import claim_gpu
    from irene.meters import NvmlMeter
    from irene.scenarios.measuring_streams import measure_pentathlon
    from irene.scenarios.stream_meter import open_meters

    found: list[Pentathlon] = []
    status = 0
    with ExitStack() as stack:
        stack.enter_context(_stopping_on_sigterm())
        meters, missing = open_meters()
        for note in missing if cases else ():
            say(f"Note: {note}")
        for meter in meters.values():
            stack.callback(meter.close)
            if isinstance(meter, NvmlMeter):
                stack.enter_context(claim_gpu(meter.read_uuid()))
        for case in cases:
            path = None if keep is None else keep / f"{_slug(case, lengths)}.json"
            if (kept := _load_whole(path)) is not None:
                found.append(kept)
                continue
            try:
                with _progress(f"{case.name}, {case.scenario.name}") as heard:
                    one = measure_pentathlon(
                        case.opening(), case.scenario, lengths=lengths, pad_to=pad_to, rows=case.rows, meters=meters,
                        least_s=least_s, limit_s=limit_s, heard=heard,
                    )  # fmt: skip
            except IreneError as problem:
                if len(cases) == 1:
                    raise
                say(f"Error: {case.name}, {case.scenario.name}: {problem}")
                status = 1
                continue
            found.append(one)
            if path is not None:
                make_folder(path.parent)
                write_whole(path, json.dumps(one.to_json(), indent=1) + "\n")
            if one.error:
                say(f"Error: {one.error} What was measured until then is kept.")
                status = 130 if one.error == "interrupted" else 1
                if status == 130:
                    break
    return found, status


def _load_whole(path: Path | None) -> Pentathlon | None:
    """What a file says of a case that was measured to its end."""
    if path is None or not path.is_file():
        return None
    from irene.scenarios.pentathlon_files import load_pentathlon

    found = load_pentathlon(path)
    return None if found.error else found


def _slug(case: Case, lengths: str) -> str:
    words = f"{case.name}-{case.scenario.name}-{case.scenario.count}-{case.scenario.most}-{Path(lengths).name}"
    if case.scenario.is_open:
        words += f"-{case.scenario.rate_per_s:g}-{case.scenario.window_s:g}"
    words += f"-{case.detail}"
    return re.sub(r"[^A-Za-z0-9.+=]+", "-", words).strip("-")[:200]


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while people watch; else nothing."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True, refresh_per_second=2) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


@contextmanager
def _stopping_on_sigterm() -> Iterator[None]:
    """Take SIGTERM for Ctrl-C, so that nothing that was started outlives this program."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
