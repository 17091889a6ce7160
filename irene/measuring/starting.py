"""The start of a collection: is the folder free and of this plan; the counter, idle power, host costs -> manifest."""

from __future__ import annotations

from collections.abc import Collection, Container, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from irene.dataset.journal import RowJournal
from irene.dataset.manifest import MANIFEST, read_manifest, write_manifest
from irene.errors import BadInput
from irene.files import cannot_write
from irene.locks import hold_lock
from irene.measuring.counter import has_counter, measure_counter_period, measure_idle_power
from irene.measuring.host_costs import measure_host_costs, measure_module_call
from irene.measuring.machine import Machine
from irene.measuring.plan import Plan
from irene.quoting import quote

_ELSEWHERE = "another plan; choose another output"


@contextmanager
def claim_output(directory: Path) -> Iterator[None]:
    """Hold a folder, made if missing, for one collector. Raises BadInput while another one holds it."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise cannot_write(directory, problem) from None
    with hold_lock(
        directory / ".collecting.lock",
        f"Another 'irene collect' ({{holder}}) writes into {directory}. Wait for it, or choose another output.",
    ):
        yield


def require_same_plan(plan: str, known: Collection[str], directory: Path, journal: RowJournal) -> None:
    """Raise BadInput if a folder's rows or skips are not of the plan of that name, with the `known` keys of its cases.

    A plan that has grown goes on.
    """
    if (directory / MANIFEST).exists():
        name = read_manifest(directory).get("collection", plan)
        if name != plan:
            raise BadInput(f"{directory} holds the collection {quote(name)}, not {quote(plan)}: {_ELSEWHERE}.")
    done = {case for case, _, _ in journal.finished()} | set(journal.skipped())
    others = sorted(case for case in done - set(known) if not case.startswith("reference|"))
    if others:
        raise BadInput(
            f"{directory} holds {len(others)} cases that are not in plan {quote(plan)}, {quote(others[0])} say: "
            f"{_ELSEWHERE}."
        )


def note_start(directory: Path, plan: Plan, machine: Machine, skipped: Container[str] = ()) -> bool:
    """Add this start to the manifest; False if the start before was on the same machine, where nothing has changed.

    What calls cost the host is measured but for those whose keys were `skipped`: a probe may have found them to break.
    Raises BadInput where the folder has rows of another GPU, or of a rehearsal on one that was made up.
    """
    runs = _earlier_runs(directory)
    boot, described = _boot_id(), machine.describe()
    for gpu in (run.get("gpu") for run in runs):
        if gpu and described.get("gpu") and gpu != described["gpu"]:
            raise BadInput(
                f"{directory} holds rows of {quote(gpu)}, and this GPU is {quote(described['gpu'])}: they do not "
                "mix. Choose another output."
            )
    if boot and runs and (runs[-1].get("boot"), runs[-1].get("card")) == (boot, described.get("card")):
        return False
    temperature_c = machine.meter.read_state().temperature_c
    counts = has_counter(machine.meter)
    asleep_w = measure_idle_power(machine.meter, 1.5) if counts else None
    torch.empty(1, device=machine.device)  # from here on a context keeps the clocks up
    period_s, read_s = measure_counter_period(machine.meter) if counts else (None, None)
    run = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "boot": boot,
        "counter_period_s": period_s,
        "counter_read_s": read_s,
        "idle_power_first_w": asleep_w,
        "idle_power_context_w": measure_idle_power(machine.meter, 1.5) if counts else None,
        "host_costs_s": measure_host_costs(
            (c for c in plan.primitives if c.weights == "host" and c.key not in skipped), machine.device
        ),
        "module_call_s": measure_module_call(machine.device),
        "temperature_first_c": temperature_c,
        **described,
    }
    write_manifest(directory, {"collection": plan.name, "runs": [*runs, run]})
    return True


def _earlier_runs(directory: Path) -> list[dict[str, Any]]:
    if not (directory / MANIFEST).exists():
        return []
    return list(read_manifest(directory).get("runs", []))


def _boot_id() -> str:
    """Random, new at each boot: tells whether two starts ran on the same machine, and nothing else."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip()[:8] if path.exists() else ""
