"""A collection: reference calls, the plan's cases in random order, reference calls again; a row as each is finished.

The reference that tracks the card (how much it draws, cold and hot) comes between the cases too, and after a rest.

Killing it loses at most the window in flight; starting it again with the same output goes on where it stopped.
"""

from __future__ import annotations

import gc
import sys
import time
from contextlib import suppress
from pathlib import Path

from irene.dataset.journal import RowJournal, read_journal_rows
from irene.errors import IreneError
from irene.measuring.collection import AS_THE_PROTOCOL_SAYS, Collection, HowToMeasure
from irene.measuring.machine import GpuMachine, Machine
from irene.measuring.plan import Plan, load_plan
from irene.measuring.rank_collecting import collect_on_ranks
from irene.measuring.rank_plan import is_rank_plan
from irene.measuring.schedule import schedule
from irene.measuring.starting import claim_output, note_start, require_same_plan


def collect(
    plan: str | Path | Plan,
    output: str | Path,
    *,
    time_limit_s: float | None = None,
    machine: Machine | None = None,
    how: HowToMeasure = AS_THE_PROTOCOL_SAYS,
) -> Path:
    """Measure a plan (its path, or one that was made) into the folder `output` and return it.

    A plan with `gpus` is measured by one process a GPU. With `time_limit_s` the collection closes in time (references,
    parquet) and a later start goes on. Raises MeterError without an NVIDIA GPU; BadInput for a bad plan, for a folder
    with rows of another plan, and while another process collects into this folder or on this GPU.
    """
    if not isinstance(plan, Plan) and is_rank_plan(plan):
        return collect_on_ranks(plan, output, time_limit_s=time_limit_s)
    plan = plan if isinstance(plan, Plan) else load_plan(plan)
    machine = machine or GpuMachine()
    started_s = time.monotonic()
    directory = Path(output)
    end_s = None if time_limit_s is None else started_s + time_limit_s
    with claim_output(directory):
        _collect(plan, machine, directory, end_s, how)
    return directory


def _collect(plan: Plan, machine: Machine, directory: Path, end_s: float | None, how: HowToMeasure) -> None:
    same_kernels: dict[str, bool] = {}
    try:
        with RowJournal(directory, machine.describe().get("power_limit_w")) as journal:
            require_same_plan(plan.name, {case.key for case in (*plan.primitives, *plan.models)}, directory, journal)
            run = Collection(plan, machine, journal, end_s, how)
            run.measure_references("start", only_new=not note_start(directory, plan, machine, journal.skipped()))
            gc.freeze()  # every capture of a graph collects garbage first, and among all objects that takes long
            run.measure(schedule(plan))
            run.measure_references("load")
            run.rest()
            run.check_kernels(same_kernels)
    except BaseException:  # Ctrl-C or a full disk, say: what was measured becomes a table if it can
        with suppress(IreneError, OSError):
            _finish(directory, same_kernels)
        raise
    finally:
        gc.unfreeze()
    _finish(directory, same_kernels)


def _finish(directory: Path, same_kernels: dict[str, bool]) -> None:
    """Note the checks in the rows, write the tables and say how many rows there are."""
    from irene.dataset.kernel_checks import write_kernel_checks
    from irene.dataset.store import write_parquet

    if not any(read_journal_rows(directory)):
        return
    if same_kernels:
        write_kernel_checks(directory, same_kernels)
    write_parquet(directory)
    rows = list(read_journal_rows(directory))
    with_energy = sum(1 for row in rows if row.get("energy_j"))
    print(f"{len(rows)} rows, {with_energy} of them with energy: {directory}", file=sys.stderr)
