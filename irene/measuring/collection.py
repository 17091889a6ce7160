"""One run of a plan: its visits and its references, each case measured or skipped, captures checked at the end."""

from __future__ import annotations

import gc
import itertools
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from tqdm import tqdm

from irene.dataset.families import family_of
from irene.dataset.journal import RowJournal
from irene.dataset.schema import Row
from irene.errors import CannotWrite
from irene.measuring.counter import has_counter
from irene.measuring.machine import Machine
from irene.measuring.plan import GenerationCase, ModelCase, Plan, PrimitiveCase
from irene.measuring.progress import Progress
from irene.measuring.references import REFERENCES, REST_S, TRACK_EVERY_S, Reference
from irene.measuring.replaying import Replay
from irene.measuring.rows import model_row, primitive_row
from irene.measuring.schedule import Visit, group_of
from irene.measuring.targets import BuiltModel, with_execution
from irene.measuring.window import WindowMeasurement, measure_window

# What the end of a collection needs: the closing references, a rest and the parquet files.
_CLOSING_S = 50.0 + REST_S
# What one check of a captured case's kernels takes, and the tables at the very end.
_CHECK_S, _WRITING_S = 2.0, 10.0
_STEP_CHECK_S = 5.0  # its cache is filled twice
_sleep = time.sleep


@dataclass(frozen=True, slots=True)
class HowToMeasure:
    """What a collection is done with, where not all of the protocol is asked for.

    Without `with_references` nothing tells drift; `window` stands in for `measure_window`, as of a simulated card.
    """

    with_references: bool = True
    window: Callable[..., WindowMeasurement] | None = None


AS_THE_PROTOCOL_SAYS = HowToMeasure()


class Collection:
    """One run of a plan on a machine, closed before `end_s` (of the monotonic clock) where that is given."""

    def __init__(
        self, plan: Plan, machine: Machine, journal: RowJournal, end_s: float | None,
        how: HowToMeasure = AS_THE_PROTOCOL_SAYS,
    ) -> None:  # fmt: skip
        self.plan = plan
        self.references = REFERENCES if how.with_references else ()
        self.window = how.window or measure_window
        self.end_s = end_s
        self.machine = machine
        self.progress = Progress(journal)
        self.build_s: dict[tuple[str, str, str], float] = {}
        self.tracked_s = time.monotonic()

    # -- the collection as a whole --------------------------------------------------------------------------------

    def measure(self, visits: list[Visit]) -> None:
        """Measure visit after visit, as long as there is time to close afterwards; how far, on stderr."""
        total = sum(len(visit.primitives) + len(visit.models) for visit in visits)
        seconds = 0.5 if sys.stderr.isatty() else 60.0  # a log wants fewer lines
        with tqdm(total=total, unit=" cases", file=sys.stderr, mininterval=seconds, dynamic_ncols=True) as bar:
            for visit in visits:
                if self._is_late() or not self._visit(visit):
                    return
                if time.monotonic() > self.tracked_s + TRACK_EVERY_S:
                    self.measure_references("load", tracking=True)
                bar.update(len(visit.primitives) + len(visit.models))

    def measure_references(self, moment: str, *, only_new: bool = False, tracking: bool = False) -> None:
        """Measure every reference once more; with `only_new` those that never were, with `tracking` those that track.

        `moment` is what went before: the 'start' of a process, 'load', or 'rest'.
        """
        self.tracked_s = time.monotonic()
        for reference in self.references:
            if tracking and not reference.tracks_card:
                continue
            key = f"reference|{reference.name}"
            repeat = self.progress.reference_counts.get(key, 0)
            if only_new and repeat:
                continue
            with self._skipping(key):
                row = self._measure_reference(reference, key, repeat)
                row = replace(row, case=key, repeat=repeat, reference=True, families="reference")
                self.progress.append_reference(replace(row, reference_moment=moment))
            self.machine.release()

    def rest(self) -> None:
        """Let the card rest, then measure the references that track it once more."""
        if any(reference.tracks_card for reference in self.references):
            _sleep(REST_S)
            self.measure_references("rest", tracking=True)

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
        pending = [case for case in visit.models if self.progress.is_pending(case, visit.repeat)]
        if not pending:
            return True
        built: BuiltModel | None = None
        try:
            for case in pending:
                if self._is_late():
                    return False
                with self._skipping(case.key):
                    built = built or self._build(case)
                    self.progress.append(self._measure_model(built, case, visit.repeat))
                if isinstance(case, GenerationCase):  # its cache may be as large as the next one's
                    gc.collect()
                    self.machine.release()
        finally:
            del built
            gc.collect()
            self.machine.release()
        return True

    def _measure_model(self, built: BuiltModel, case: ModelCase | GenerationCase, repeat: int) -> Row:
        target = self.machine.prepare_model(built, case, self.plan.seed)
        memory = self.machine.measure_memory(target)
        measured = self._window(target.run)
        collection, family = self.plan.name, family_of(built.config.model_type)
        return model_row(case, built, target, measured, memory, repeat=repeat, collection=collection, family=family)

    def _build(self, case: ModelCase | GenerationCase) -> BuiltModel:
        begun_s = time.monotonic()
        built = self.machine.build(case, self.plan.seed)
        self.build_s[group_of(case)] = time.monotonic() - begun_s
        return built

    def _measure_primitive(self, case: PrimitiveCase, repeat: int) -> None:
        missing = self.progress.missing_methods(case, repeat)
        if not missing:
            return
        replay: Replay = self.machine.prepare_primitive(case, self.plan.seed)
        if "events" in missing:
            timed = self.machine.time_primitive(replay)
            self.progress.append(primitive_row(case, timed, replay, repeat, self.plan.name))
        if "window" in missing:
            measured = self._window(replay.run, replay.calls)
            self.progress.append(primitive_row(case, measured, replay, repeat, self.plan.name))

    # -- after the last reference: profiling disturbs timing, so it comes at the very end ---------------------------

    def check_kernels(self, checked: dict[str, bool]) -> None:
        """Note whether a captured case runs the kernels of eager, names and counts; only then its rows count."""
        unchecked = sorted(self.progress.unchecked_captures(self.plan), key=group_of)
        for _, cases in itertools.groupby(unchecked, key=group_of):
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
                        self.progress.skip(case.key, f"captured kernels differ from eager: {differing}")
            del built
            self.machine.release()

    def closing_s(self) -> float:
        """What the closing references, the checks and the tables take."""
        unchecked = self.progress.unchecked_captures(self.plan)
        # The models are built once more for their checks: the largest take longer to build than to check.
        longest_s = max(self.build_s.values(), default=0.0)  # of what an earlier start built nothing is known
        building_s = sum(self.build_s.get(group, longest_s) for group in {group_of(case) for case in unchecked})
        checking_s = sum(_STEP_CHECK_S if isinstance(case, GenerationCase) else _CHECK_S for case in unchecked)
        return _CLOSING_S + checking_s + building_s

    def _is_late(self) -> bool:
        return self.end_s is not None and time.monotonic() > self.end_s - self.closing_s()

    # -- small pieces ---------------------------------------------------------------------------------------------

    def _window(self, run: Callable[[], object], calls: int = 1) -> WindowMeasurement:
        with torch.inference_mode():
            return self.window(run, self.machine.synchronize, self.machine.meter, calls_per_call=calls)

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
            self.progress.skip(key, reason)
            tqdm.write(f"skipped {key[:90]}: {reason}", file=sys.stderr)
            gc.collect()
            # A broken CUDA context, allocator or driver raises here: better to end than to skip all that follows.
            self.machine.release()
            self.machine.synchronize()
            has_counter(self.machine.meter)
