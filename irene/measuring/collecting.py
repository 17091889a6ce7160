"""A collection: reference calls, the plan's cases in random order, reference calls again; a row as each is finished.

Killing it loses at most the window in flight; starting it again with the same output goes on where it stopped.
"""

from __future__ import annotations

import gc
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from irene.dataset.families import family_of
from irene.dataset.journal import CannotWrite, RowJournal, read_journal_rows
from irene.dataset.schema import Row
from irene.errors import IreneError
from irene.measuring.machine import GpuMachine, Machine
from irene.measuring.plan import ModelCase, Plan, PrimitiveCase, load_plan
from irene.measuring.references import REFERENCES, Reference
from irene.measuring.replaying import Replay
from irene.measuring.rows import model_row, primitive_row
from irene.measuring.schedule import Visit, group_of, needs_repeat, schedule
from irene.measuring.starting import note_start
from irene.measuring.targets import BuiltModel, with_execution
from irene.measuring.window import WindowMeasurement, measure_window

# What the end of a collection needs: the closing references and the parquet files.
_CLOSING_S = 40.0
# What one check of a captured case's kernels takes, and the tables at the very end.
_CHECK_S, _WRITING_S = 2.0, 10.0


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
            run = _Collection(plan, machine, journal, end_s)
            run.measure_references(only_new=not note_start(directory, plan, machine))
            gc.freeze()  # every capture of a graph collects garbage first, and among all objects that takes long
            run.measure(schedule(plan))
            run.measure_references()
            run.check_kernels(same_kernels)
    except BaseException:  # Ctrl-C or a full disk, say: what was measured becomes a table if it can
        with suppress(IreneError, OSError):
            _finish(directory, same_kernels)
        raise
    finally:
        gc.unfreeze()
    _finish(directory, same_kernels)
    return directory


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


class _Collection:
    def __init__(self, plan: Plan, machine: Machine, journal: RowJournal, end_s: float | None) -> None:
        self.plan = plan
        self.end_s = end_s
        self.machine = machine
        self.journal = journal
        self.finished = set(journal.finished())
        self.skipped = dict(journal.skipped())
        self.utilization: dict[str, float | None] = {}
        self.reference_counts: dict[str, int] = {}
        self.checked: set[str] = set()
        self.build_s: dict[tuple[str, str, str], float] = {}
        for row in read_journal_rows(journal.directory):
            if row.get("kernels_as_eager") is not None:
                self.checked.add(row["case"])
            self.utilization[row["case"]] = row.get("gpu_utilization_pct")
            if row.get("reference"):
                self.reference_counts[row["case"]] = self.reference_counts.get(row["case"], 0) + 1

    # -- the collection as a whole --------------------------------------------------------------------------------

    def measure(self, visits: list[Visit]) -> None:
        """Measure visit after visit, as long as there is time to close afterwards; how far, on stderr."""
        total = sum(len(visit.primitives) + len(visit.models) for visit in visits)
        seconds = 0.5 if sys.stderr.isatty() else 60.0  # a log wants fewer lines
        with tqdm(total=total, unit=" cases", file=sys.stderr, mininterval=seconds, dynamic_ncols=True) as bar:
            for visit in visits:
                if self._is_late() or not self._visit(visit):
                    return
                bar.update(len(visit.primitives) + len(visit.models))

    def measure_references(self, only_new: bool = False) -> None:
        """Measure every reference once more, or, with `only_new`, those that never were."""
        for reference in REFERENCES:
            key = f"reference|{reference.name}"
            repeat = self.reference_counts.get(key, 0)
            if only_new and repeat:
                continue
            with self._skipping(key):
                row = self._measure_reference(reference, key, repeat)
                self.journal.append(replace(row, case=key, repeat=repeat, reference=True, families="reference"))
                self.reference_counts[key] = repeat + 1
            self.machine.release()

    def _measure_reference(self, reference: Reference, key: str, repeat: int) -> Row:
        case = reference.case
        if isinstance(case, PrimitiveCase):
            replay = self.machine.prepare_primitive(case, self.plan.seed, eager=reference.eager)
            row = primitive_row(case, self._window(replay.run, replay.calls), replay, repeat, self.plan.name)
            return replace(row, execution="eager") if reference.eager else row
        built = self.machine.build(case, self.plan.seed)
        target = self.machine.prepare_model(built, case, self.plan.seed)
        measured = self._window(target.run)
        return model_row(case, built, target, measured, repeat=repeat, collection=self.plan.name, family="reference")

    # -- one visit ------------------------------------------------------------------------------------------------

    def _visit(self, visit: Visit) -> bool:
        for primitive in visit.primitives:
            if self._is_late():
                return False
            with self._skipping(primitive.key):
                self._measure_primitive(primitive, visit.repeat)
        pending = [case for case in visit.models if self._is_pending(case, visit.repeat)]
        if not pending:
            return True
        built: BuiltModel | None = None
        try:
            for case in pending:
                if self._is_late():
                    return False
                with self._skipping(case.key):
                    built = built or self._build(case)
                    target = self.machine.prepare_model(built, case, self.plan.seed)
                    measured = self._window(target.run)
                    collection, family = self.plan.name, family_of(built.config.model_type)
                    self._append(
                        model_row(
                            case, built, target, measured, repeat=visit.repeat, collection=collection, family=family
                        )
                    )
                    del target
        finally:
            del built
            gc.collect()
            self.machine.release()
        return True

    def _build(self, case: ModelCase) -> BuiltModel:
        begun_s = time.monotonic()
        built = self.machine.build(case, self.plan.seed)
        self.build_s[group_of(case)] = time.monotonic() - begun_s
        return built

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
            self._append(primitive_row(case, timed, replay, repeat, self.plan.name))
        if "window" in wanted:
            measured = self._window(replay.run, replay.calls)
            self._append(primitive_row(case, measured, replay, repeat, self.plan.name))

    # -- after the last reference: profiling disturbs timing, so it comes at the very end ---------------------------

    def unchecked_captures(self) -> list[ModelCase]:
        """Captured cases that have rows and that nobody has compared with eager."""
        captured = [case for case in self.plan.models if case.workload.execution == "cuda_graph"]
        return [c for c in captured if c.key not in self.checked and (c.key, 0, "window") in self.finished]

    def check_kernels(self, checked: dict[str, bool]) -> None:
        """Note whether a captured case runs the kernels of eager, names and counts; only then its rows count."""
        for _, cases in itertools.groupby(sorted(self.unchecked_captures(), key=group_of), key=group_of):
            built: BuiltModel | None = None
            for case in cases:
                if self.end_s is not None and time.monotonic() > self.end_s - _WRITING_S:
                    break
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

    def closing_s(self) -> float:
        """What the closing references, the checks and the tables take."""
        unchecked = self.unchecked_captures()
        # The models are built once more for their checks: the largest take longer to build than to check.
        longest_s = max(self.build_s.values(), default=0.0)  # of what an earlier start built nothing is known
        building_s = sum(self.build_s.get(group, longest_s) for group in {group_of(case) for case in unchecked})
        return _CLOSING_S + _CHECK_S * len(unchecked) + building_s

    def _is_late(self) -> bool:
        return self.end_s is not None and time.monotonic() > self.end_s - self.closing_s()

    # -- small pieces ---------------------------------------------------------------------------------------------

    def _window(self, run: Callable[[], object], calls: int = 1) -> WindowMeasurement:
        with torch.inference_mode():
            return measure_window(run, self.machine.synchronize, self.machine.meter, calls_per_call=calls)

    def _append(self, row: Row) -> None:
        self.journal.append(row)
        self.finished.add((row.case, row.repeat, row.method))
        if row.gpu_utilization_pct is not None:
            self.utilization[row.case] = row.gpu_utilization_pct

    @contextmanager
    def _skipping(self, key: str) -> Iterator[None]:
        """Record why a case could not be measured, and go on."""
        try:
            yield
        except CannotWrite:  # not the case's fault: it must not count as skipped
            raise
        except Exception as error:  # a model's own code may raise anything: one case must not stop all others
            lines = str(error).strip().splitlines() or [""]
            reason = f"{type(error).__name__}: {lines[0][:300]}"
            if isinstance(error, torch.cuda.OutOfMemoryError):
                self.machine.release()  # raises where memory is lost: then it is not this case's fault
            self.skipped[key] = reason
            self.journal.append_skip(key, reason)
            tqdm.write(f"skipped {key[:90]}: {reason}", file=sys.stderr)
            gc.collect()
            # A broken CUDA context, allocator or driver raises here: better to end than to skip all that follows.
            self.machine.release()
            self.machine.synchronize()
            self.machine.meter.read_energy_j()
