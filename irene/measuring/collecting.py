"""A collection: reference calls, the plan's cases in random order, reference calls again; a row as each is finished.

Killing it loses at most the window in flight; starting it again with the same output goes on where it stopped.
"""

from __future__ import annotations

import gc
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch

from irene.dataset.families import family_of
from irene.dataset.journal import MANIFEST, CannotWrite, RowJournal, read_journal_rows, read_manifest, write_manifest
from irene.dataset.schema import Row
from irene.errors import IreneError
from irene.measuring.host_costs import measure_host_costs, measure_module_call
from irene.measuring.machine import GpuMachine, Machine
from irene.measuring.plan import ModelCase, Plan, PrimitiveCase, load_plan
from irene.measuring.references import REFERENCES, Reference
from irene.measuring.replaying import Replay
from irene.measuring.rows import model_row, primitive_row
from irene.measuring.schedule import Visit, group_of, needs_repeat, schedule
from irene.measuring.targets import BuiltModel, with_execution
from irene.measuring.window import WindowMeasurement, measure_counter_period, measure_idle_power, measure_window

# What the end of a collection needs: the closing references and the parquet files.
_CLOSING_S = 40.0
# What one check of a captured case's kernels takes.
_CHECK_S = 2.0


@dataclass
class _Progress:
    """How far, on stderr; stdout stays clean."""

    total: int
    done: int = 0
    started_s: float = field(default_factory=time.monotonic)

    def step(self, text: str) -> None:
        self.done += 1
        if sys.stderr.isatty() or self.done % 25 == 0:
            minutes = (time.monotonic() - self.started_s) / 60
            print(f"[{self.done}/{self.total}, {minutes:.1f} min] {text}", file=sys.stderr, flush=True)


def collect(
    plan_path: str | Path,
    output: str | Path,
    *,
    time_limit_s: float | None = None,
    machine: Machine | None = None,
) -> Path:
    """Measure a plan into the folder `output` and return it.

    With `time_limit_s` the collection closes in time (references, parquet) and a later start goes on. Raises MeterError
    without an NVIDIA GPU, BadInput for a bad plan.
    """
    plan = load_plan(plan_path)
    machine = machine or GpuMachine()
    started_s = time.monotonic()
    directory = Path(output)
    end_s = None if time_limit_s is None else started_s + time_limit_s
    same_kernels: dict[str, bool] = {}
    try:
        with RowJournal(directory) as journal:
            run = _Collection(plan, machine, journal)
            run.open(directory)
            checking_s = _CHECK_S * len(run.unchecked_captures())
            run.measure(schedule(plan), None if end_s is None else end_s - _CLOSING_S - checking_s)
            run.measure_references()
            same_kernels = run.check_kernels(None if end_s is None else end_s - 10.0)
    finally:
        _finish(directory, same_kernels)
    return directory


def _finish(directory: Path, same_kernels: dict[str, bool]) -> None:
    """Also after Ctrl-C or a full disk: what was measured becomes a table."""
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


class _Collection:
    def __init__(self, plan: Plan, machine: Machine, journal: RowJournal) -> None:
        self.plan = plan
        self.machine = machine
        self.journal = journal
        self.finished = set(journal.finished())
        self.skipped = dict(journal.skipped())
        self.utilization: dict[str, float | None] = {}
        self.reference_counts: dict[str, int] = {}
        self.checked: set[str] = set()
        for row in read_journal_rows(journal.directory):
            if row.get("kernels_as_eager") is not None:
                self.checked.add(row["case"])
            self.utilization[row["case"]] = row.get("gpu_utilization_pct")
            if row.get("reference"):
                self.reference_counts[row["case"]] = self.reference_counts.get(row["case"], 0) + 1
        self.progress = _Progress(len(plan.primitives) + len(plan.models))

    # -- the collection as a whole --------------------------------------------------------------------------------

    def open(self, directory: Path) -> None:
        """What is measured once per start, into the manifest, then the first references.

        A start on the machine of the start before (same boot) goes on at once: nothing of this has changed.
        """
        runs = _earlier_runs(directory)
        if runs and runs[-1].get("boot") == _boot_id():
            return
        meter = self.machine.meter
        asleep_w = measure_idle_power(meter, 1.5)
        torch.empty(1, device=self.machine.device)
        period_s, read_s = measure_counter_period(meter)
        host_cases = [case for case in self.plan.primitives if case.weights == "host"]
        host_costs_s = measure_host_costs(host_cases, self.machine.device)
        run = {
            "date": _now(),
            "boot": _boot_id(),
            "counter_period_s": period_s,
            "counter_read_s": read_s,
            "idle_power_first_w": asleep_w,
            "idle_power_context_w": measure_idle_power(meter, 1.5),
            "host_costs_s": host_costs_s,
            "module_call_s": measure_module_call(self.machine.device),
            **self.machine.describe(),
        }
        write_manifest(directory, {"collection": self.plan.name, "runs": [*runs, run]})
        self.measure_references()

    def measure(self, visits: list[Visit], deadline_s: float | None) -> None:
        """Measure visit after visit, until the end or the deadline."""
        for visit in visits:
            if _is_past(deadline_s) or not self._visit(visit, deadline_s):
                return

    def measure_references(self) -> None:
        for reference in REFERENCES:
            key = f"reference|{reference.name}"
            repeat = self.reference_counts.get(key, 0)
            with self._skipping(key):
                row = self._measure_reference(reference, key, repeat)
                self.journal.append(replace(row, case=key, repeat=repeat, reference=True, families="reference"))
                self.reference_counts[key] = repeat + 1
            self.machine.release()

    def _measure_reference(self, reference: Reference, key: str, repeat: int) -> Row:
        case = reference.case
        if isinstance(case, PrimitiveCase):
            replay = self.machine.prepare_primitive(case, self.plan.seed, eager=reference.eager)
            row = primitive_row(case, self._window(replay.run, replay.calls), replay.calls, repeat, self.plan.name)
            return replace(row, execution="eager") if reference.eager else row
        built = self.machine.build(case, self.plan.seed)
        target = self.machine.prepare_model(built, case, self.plan.seed)
        return model_row(case, target, self._window(target.run), repeat, self.plan.name, built, "reference")

    # -- one visit ------------------------------------------------------------------------------------------------

    def _visit(self, visit: Visit, deadline_s: float | None) -> bool:
        for primitive in visit.primitives:
            if _is_past(deadline_s):
                return False
            with self._skipping(primitive.key):
                self._measure_primitive(primitive, visit.repeat)
        pending = [case for case in visit.models if self._is_pending(case, visit.repeat)]
        if not pending:
            return True
        built: BuiltModel | None = None
        try:
            for case in pending:
                if _is_past(deadline_s):
                    return False
                with self._skipping(case.key):
                    built = built or self.machine.build(case, self.plan.seed)
                    target = self.machine.prepare_model(built, case, self.plan.seed)
                    measured = self._window(target.run)
                    row = model_row(case, target, measured, visit.repeat, self.plan.name, built, self._family(built))
                    self._append(row)
                    del target
        finally:
            del built
            gc.collect()
            self.machine.release()
        return True

    def _is_pending(self, case: ModelCase, repeat: int) -> bool:
        if (case.key, repeat, "window") in self.finished or case.key in self.skipped:
            return False
        return repeat == 0 or needs_repeat(case.key, case.workload.execution, self.utilization.get(case.key))

    def _measure_primitive(self, case: PrimitiveCase, repeat: int) -> None:
        wanted = {"events"} if repeat == 0 else set()
        if case.energy:
            wanted.add("window")
        wanted = {method for method in wanted if (case.key, repeat, method) not in self.finished}
        if not wanted or case.key in self.skipped:
            return
        replay: Replay = self.machine.prepare_primitive(case, self.plan.seed)
        if "events" in wanted:
            timed = self.machine.time_primitive(replay)
            self._append(primitive_row(case, timed, replay.calls, repeat, self.plan.name))
        if "window" in wanted:
            measured = self._window(replay.run, replay.calls)
            self._append(primitive_row(case, measured, replay.calls, repeat, self.plan.name))

    # -- after the last reference: profiling disturbs timing, so it comes at the very end ---------------------------

    def unchecked_captures(self) -> list[ModelCase]:
        captured = [case for case in self.plan.models if case.workload.execution == "cuda_graph"]
        return [case for case in captured if case.key not in self.checked and case.key not in self.skipped]

    def check_kernels(self, deadline_s: float | None) -> dict[str, bool]:
        """Whether a captured case runs the kernels of eager, names and counts; only then its rows count."""
        checked: dict[str, bool] = {}
        for _, cases in itertools.groupby(sorted(self.unchecked_captures(), key=group_of), key=group_of):
            built: BuiltModel | None = None
            for case in cases:
                if _is_past(deadline_s) or (case.key, 0, "window") not in self.finished:
                    continue
                with self._skipping(case.key):
                    built = built or self.machine.build(case, self.plan.seed)
                    counts = [
                        self.machine.count_kernels(self.machine.prepare_model(built, as_run, self.plan.seed))
                        for as_run in (with_execution(case, "eager"), case)
                    ]
                    checked[case.key] = counts[0] == counts[1]
                    if not checked[case.key]:
                        differing = sorted(set(counts[0].items()) ^ set(counts[1].items()))[:4]
                        self.journal.append_skip(case.key, f"captured kernels differ from eager: {differing}")
            del built
            self.machine.release()
        return checked

    # -- small pieces ---------------------------------------------------------------------------------------------

    def _window(self, run: Callable[[], object], calls: int = 1) -> WindowMeasurement:
        with torch.inference_mode():
            return measure_window(run, self.machine.synchronize, self.machine.meter, calls_per_call=calls)

    def _append(self, row: Row) -> None:
        self.journal.append(row)
        self.finished.add((row.case, row.repeat, row.method))
        if row.gpu_utilization_pct is not None:
            self.utilization[row.case] = row.gpu_utilization_pct
        self.progress.step(row.case[:90])

    def _family(self, built: BuiltModel) -> str:
        return family_of(built.config.model_type)

    @contextmanager
    def _skipping(self, key: str) -> Iterator[None]:
        """Record why a case could not be measured, and go on."""
        try:
            yield
        except CannotWrite:  # not the case's fault: it must not count as skipped
            raise
        except (IreneError, RuntimeError, ValueError, TypeError, IndexError, NotImplementedError, AssertionError) as error:
            lines = str(error).strip().splitlines() or [""]
            reason = f"{type(error).__name__}: {lines[0][:300]}"
            self.skipped[key] = reason
            self.journal.append_skip(key, reason)
            print(f"skipped {key[:90]}: {reason}", file=sys.stderr, flush=True)
            gc.collect()
            self.machine.release()
            self.machine.synchronize()  # a broken CUDA context raises here: better to end than to skip all that follows


def _earlier_runs(directory: Path) -> list[dict[str, Any]]:
    if not (directory / MANIFEST).exists():
        return []
    return list(read_manifest(directory).get("runs", []))


def _boot_id() -> str:
    """Random, new at each boot: tells whether two starts ran on the same machine, and nothing else."""
    path = Path("/proc/sys/kernel/random/boot_id")
    return path.read_text().strip()[:8] if path.exists() else ""


def _is_past(deadline_s: float | None) -> bool:
    return deadline_s is not None and time.monotonic() > deadline_s


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")
